"""JSON Schema from a function's signature."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import inspect
import pathlib
import types
import typing
import uuid
from collections.abc import Callable, Collection
from typing import Any, Literal, Union, get_args, get_origin

Schema = dict[str, Any]

_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.time: {"type": "string", "format": "time"},
    decimal.Decimal: {"type": "string"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    pathlib.Path: {"type": "string"},
    pathlib.PurePath: {"type": "string"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    set: {"type": "array"},
    frozenset: {"type": "array"},
    dict: {"type": "object"},
}
_ARRAYS = (
    list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Set,
    collections.abc.Collection,
)  # fmt: skip
_OBJECTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def of_function(fn: Callable[..., Any], exclude: Collection[str]) -> Schema:
    """The schema of a function's arguments. What a type says nothing of may be anything."""
    try:
        hints = typing.get_type_hints(fn, include_extras=True)
    except Exception:  # annotations of names that exist for type checkers only
        hints = {}
    schema: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
    required, defs = [], Schema()
    for name, parameter in inspect.signature(fn).parameters.items():
        if name in exclude:
            continue
        described = of_type(hints.get(name, Any), defs)
        if parameter.kind is parameter.VAR_KEYWORD:
            schema["additionalProperties"] = described or True
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            described = {"type": "array", "items": described}
        elif parameter.default is parameter.empty:
            required.append(name)
        schema["properties"][name] = described
    if required:
        schema["required"] = required
    if defs:
        schema["$defs"] = defs
    return schema


def of_type(kind: Any, defs: Schema) -> Schema:
    try:
        if kind in _PLAIN:
            return dict(_PLAIN[kind])
    except TypeError:  # it has no hash
        return {}
    origin, args = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        texts = [a for a in args[1:] if isinstance(a, str)]
        # What else describes a type, such as pydantic's Field, has a description, too.
        texts += [d for a in args[1:] if isinstance(d := getattr(a, "description", None), str)]
        described = of_type(args[0], defs)
        return {**described, "description": texts[0]} if texts else described
    if origin is Literal:
        return {"enum": [a.value if isinstance(a, enum.Enum) else a for a in args]}
    if origin in (Union, types.UnionType):
        kinds = [of_type(a, defs) for a in args]
        return {"anyOf": kinds} if all(kinds) else {}
    if origin is tuple and args and args[-1] is not Ellipsis:
        items = [of_type(a, defs) for a in args]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin in _ARRAYS or origin is tuple:
        return {"type": "array", "items": of_type(args[0], defs)}
    if origin in _OBJECTS:
        return {"type": "object", "additionalProperties": of_type(args[1], defs) or True}
    if origin in (typing.Required, typing.NotRequired):
        return of_type(args[0], defs)
    return _of_class(kind, defs) if isinstance(kind, type) else {}


def _of_class(kind: type, defs: Schema) -> Schema:
    if hasattr(kind, "model_json_schema"):  # pydantic's
        described: Schema = kind.model_json_schema()
        inner = described.pop("$defs", {})
        if any(defs.get(name, more) != more for name, more in inner.items()):
            return {"type": "object"}  # two classes of one name
        defs.update(inner)
        return described
    if issubclass(kind, enum.Enum):
        return {"enum": [member.value for member in kind]}
    if dataclasses.is_dataclass(kind):
        optional = [
            f.name for f in dataclasses.fields(kind)
            if not (f.default is f.default_factory is dataclasses.MISSING)
        ]  # fmt: skip
        return _of_fields(kind, {f.name for f in dataclasses.fields(kind)} - set(optional), defs)
    if typing.is_typeddict(kind):
        return _of_fields(kind, getattr(kind, "__required_keys__", frozenset()), defs)
    return {}


def _of_fields(kind: type, required: Collection[str], defs: Schema) -> Schema:
    """The schema of a class with named fields, among the definitions, since it may hold itself."""
    name = kind.__qualname__.replace("<locals>.", "")
    if any(c in name for c in "/~%#[] "):
        return {"type": "object"}
    reference = {"$ref": f"#/$defs/{name}"}
    if name in defs:
        return reference
    defs[name] = {}
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except Exception:
        hints = {}
    described: Schema = {
        "type": "object",
        "properties": {field: of_type(hint, defs) for field, hint in hints.items()},
        "additionalProperties": False,
    }
    # A TypedDict does not see these words in annotations that are texts.
    said = {field: get_origin(hint) for field, hint in hints.items()}
    required = {field for field in required if said.get(field) is not typing.NotRequired}
    required |= {field for field, word in said.items() if word is typing.Required}
    if required:
        described["required"] = sorted(required)
    defs[name] = described
    return reference
