"""Arguments and results as JSON, and back: what runs is what was approved."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import inspect
import json
import pathlib
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ._errors import Error, SetupError

MAX_ARGUMENTS = 256 << 10  # bytes
MAX_RESULT = 1 << 20
_SAFE = 2**53  # larger integers are rounded by readers of JSON


class NotApprovedError(Error):
    """What was approved can't be given to the function, so it was not run."""


def plain(value: Any) -> Any:
    """A copy of a value that is made of JSON's types. TypeError if it can't be one."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        if abs(value) > _SAFE:
            raise TypeError("an integer beyond 2^53, which readers of JSON round: give it as text")
        return int(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise TypeError("a number that JSON does not have")
        return float(value)
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("names that are no texts")
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=lambda item: json.dumps(item))
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, decimal.Decimal, pathlib.PurePath)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if hasattr(value, "model_dump"):  # pydantic's
        return plain(value.model_dump(mode="json"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    raise TypeError(f"a {type(value).__name__}")


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same JSON. 1 and 1.0 are, 1 and true are not."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(item, b[name]) for name, item in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def is_plain(value: Any) -> bool:
    """Whether a value is made of JSON's types already, so that a copy of it is as good."""
    if isinstance(value, list):
        return type(value) is list and all(map(is_plain, value))
    if isinstance(value, dict):
        return type(value) is dict and all(map(is_plain, value.values()))
    return value is None or type(value) in (bool, int, float, str)


class Signature:
    """What a function takes, and what of that goes into its calls."""

    def __init__(self, fn: Callable[..., Any], exclude: Collection[str]) -> None:
        self._signature = inspect.signature(fn)
        names = list(self._signature.parameters)
        unknown = [name for name in exclude if name not in names]
        if unknown:
            raise SetupError(f"exclude: the function takes no {', '.join(unknown)}")
        self.exclude = {*exclude, *(n for n in names[:1] if n in ("self", "cls"))}

    def freeze(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Frozen:
        """Binds the arguments of one call. TypeError as the function itself would raise it."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        sent: dict[str, Any] = {}
        for name, value in self._named(bound).items():
            try:
                sent[name] = plain(value)
            except TypeError as e:
                raise TypeError(f"argument {name} holds {e}; nothing was started") from None
        if len(json.dumps(sent, ensure_ascii=False).encode(errors="replace")) > MAX_ARGUMENTS:
            raise ValueError(f"the arguments are larger than {MAX_ARGUMENTS} bytes; nothing was started")
        return Frozen(self, bound, sent)

    def _named(self, bound: inspect.BoundArguments) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            if name in self.exclude:
                continue
            if self._signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                if clash := [more for more in value if more in self._signature.parameters]:
                    raise TypeError(f"argument {clash[0]} is given twice; nothing was started")
                named.update(value)
            else:
                named[name] = value
        return named

    def thaw(self, frozen: Frozen, approved: dict[str, Any]) -> inspect.BoundArguments:
        """The arguments to run with: those that were approved, as the objects that were given where
        they are still that, and else as JSON."""
        now = self._named(frozen.bound)
        if approved.keys() != frozen.sent.keys():
            raise NotApprovedError("what was approved has other names than what was asked for")
        run: dict[str, Any] = {}
        for name, value in now.items():
            if is_plain(value):
                equal = same(approved[name], frozen.sent[name])
                run[name] = frozen.sent[name] if equal else approved[name]
            elif same(_plain_or_none(value), approved[name]):
                run[name] = value
            else:
                raise NotApprovedError(f"argument {name} is not what was approved any more")
        bound = frozen.bound
        for name in list(bound.arguments):
            kind = self._signature.parameters[name].kind
            if name in self.exclude:
                continue
            if kind is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = {more: run[more] for more in bound.arguments[name]}
            elif kind is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(run[name])
            else:
                bound.arguments[name] = run[name]
        return bound


@dataclasses.dataclass
class Frozen:
    """The arguments of one call, as they were asked for."""

    signature: Signature
    bound: inspect.BoundArguments
    sent: dict[str, Any]


def _plain_or_none(value: Any) -> Any:
    try:
        return plain(value)
    except TypeError:
        return None


def executed(result: Any) -> dict[str, Any]:
    """The report of a function that returned. A result that is no JSON, or is too large, stays here."""
    from ._journal import digest_of

    report: dict[str, Any] = {"status": "executed"}
    try:
        value = plain(result)
    except (TypeError, RecursionError):
        return report
    if len(json.dumps(value)) > MAX_RESULT:
        return {**report, **digest_of(value)}
    return {**report, "result": value}
