"""The schema that arguments are checked against, from the signature and its types."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypedDict

import pytest

import pawlhq as pawl
from pawlhq import _schema

if TYPE_CHECKING:
    from somewhere import Missing  # type: ignore[import-not-found]


class Speed(enum.Enum):
    slow = "slow"
    fast = "fast"


@dataclasses.dataclass
class Node:
    name: str
    next: Node | None = None


class Mail(TypedDict):
    to: list[str]
    cc: NotRequired[list[str]]


STRING = {"type": "string"}
INTEGER = {"type": "integer"}
MAIL = {
    "type": "object",
    "properties": {"to": {"type": "array", "items": STRING}, "cc": {"type": "array", "items": STRING}},
    "additionalProperties": False,
    "required": ["to"],
}
NODE = {
    "type": "object",
    "properties": {"name": STRING, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
    "additionalProperties": False,
    "required": ["name"],
}


@pytest.mark.parametrize(
    ("kind", "want"),
    [
        (str, STRING),
        (int, INTEGER),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (object, {}),
        (bytes, {"type": "string", "contentEncoding": "base64"}),
        (Path, STRING),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (datetime.datetime, {"type": "string", "format": "date-time"}),
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": INTEGER}),
        (Sequence[str], {"type": "array", "items": STRING}),
        (tuple[int, ...], {"type": "array", "items": INTEGER}),
        (tuple[int, str], {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "maxItems": 2}),
        (dict[str, int], {"type": "object", "additionalProperties": INTEGER}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": True}),
        (int | None, {"anyOf": [INTEGER, {"type": "null"}]}),
        (int | Any, {}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Speed, {"enum": ["slow", "fast"]}),
        (Annotated[int, "cents"], {"type": "integer", "description": "cents"}),
        (Callable[[], int], {}),
    ],
)
def test_types(kind: Any, want: Any) -> None:
    assert _schema.of_type(type(None) if kind is None else kind, {}) == want


def parameters(to: str, /, cents: int = 5, *more: float, urgent: bool, **labels: str) -> None: ...


def fields(mail: Mail, node: Node) -> None: ...


def untyped(a, b=1): ...  # type: ignore[no-untyped-def]


def missing(a: Missing, b: int) -> None: ...


def items(n: int) -> Iterator[int]:
    yield n


async def waits(n: int) -> int:
    return n


async def waits_and_yields(n: int) -> Any:
    yield n


N = {"properties": {"n": INTEGER}, "required": ["n"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("fn", "want"),
    [
        (
            parameters,
            {
                "properties": {
                    "to": STRING,
                    "cents": INTEGER,
                    "more": {"type": "array", "items": {"type": "number"}},
                    "urgent": {"type": "boolean"},
                },
                "required": ["to", "urgent"],
                "additionalProperties": STRING,
            },
        ),
        (
            fields,
            {
                "properties": {"mail": {"$ref": "#/$defs/Mail"}, "node": {"$ref": "#/$defs/Node"}},
                "required": ["mail", "node"],
                "additionalProperties": False,
                "$defs": {"Mail": MAIL, "Node": NODE},
            },
        ),
        (untyped, {"properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": False}),
        (
            missing,
            {"properties": {"a": {}, "b": {}}, "required": ["a", "b"], "additionalProperties": False},
        ),
        (items, N),
        (waits, N),
        (waits_and_yields, N),
    ],
)
def test_signatures(fn: Callable[..., Any], want: dict[str, Any]) -> None:
    guarded = pawl.Client("http://127.0.0.1:1", token="", agent="tester").guard(fn)
    assert guarded.__pawl__.tool == {"name": fn.__name__, "schema": {"type": "object", **want}}  # type: ignore[attr-defined]


def test_methods_and_excluded_arguments() -> None:
    class Robot:
        def move(self, metres: int, context: object) -> None:
            """Moves it.

            Longer text, which reviewers don't need.
            """

    guarded = pawl.Client("http://127.0.0.1:1", token="", agent="t").guard(exclude=["context"])(Robot.move)
    want = {"properties": {"metres": INTEGER}, "required": ["metres"], "additionalProperties": False}
    assert guarded.__pawl__.tool == {  # type: ignore[attr-defined]
        "name": "move",
        "description": "Moves it.",
        "schema": {"type": "object", **want},
    }
