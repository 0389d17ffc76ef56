"""Type hints of a frozen dataclass, enforced: on construction and when JSON is read back.

The vocabulary is small on purpose: ``bool``, ``int``, ``float``, ``str``, enums by value, ``X | None``,
``tuple[X, ...]``, ``Mapping[str, X]`` and other dataclasses. Values come out canonical and frozen:
NumPy scalars become Python numbers, sequences tuples, mappings read-only with sorted keys.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from hessay.errors import ArgumentError, NonFinite

_T = TypeVar("_T")
_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def freeze(instance: Any) -> None:
    """Check every field of a frozen dataclass against its hint and store the canonical value.

    Meant for ``__post_init__``.

    Raises
    ------
    ArgumentError
        A value has the wrong type; the message names the field.
    NonFinite
        A number is NaN or infinite; the message names the field.
    """
    cls: Any = type(instance)
    for name, hint in _hints(cls).items():
        where = f"{cls.__name__}.{name}"
        object.__setattr__(instance, name, conform(getattr(instance, name), hint, where))


def conform(value: Any, hint: Any, where: str) -> Any:
    """Give ``value`` in the canonical form that ``hint`` asks for, or say why it has none."""
    if isinstance(value, np.generic):
        value = value.item()
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _conform_union(value, get_args(hint), where)
    if origin is tuple:
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, list | tuple):
            raise _wrong(where, "a list", value)
        item = get_args(hint)[0]
        return tuple(conform(entry, item, f"{where}[{i}]") for i, entry in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise _wrong(where, "an object", value)
        if not all(isinstance(key, str) for key in value):
            raise ArgumentError(f"{where} must have strings as keys, got {list(value)!r:.80}")
        item = get_args(hint)[1]
        entries = {key: conform(value[key], item, f"{where}[{key!r}]") for key in sorted(value)}
        return types.MappingProxyType(entries)
    if isinstance(hint, type) and (dataclasses.is_dataclass(hint) or issubclass(hint, enum.Enum)):
        if not isinstance(value, hint):
            raise _wrong(where, f"a {hint.__name__}", value)
        return value
    return _conform_scalar(value, hint, where)


def _conform_union(value: Any, options: tuple[Any, ...], where: str) -> Any:
    if value is None and type(None) in options:
        return None
    candidates = [option for option in options if option is not type(None)]
    if len(candidates) == 1:
        return conform(value, candidates[0], where)
    if type(value) not in candidates:
        raise _wrong(where, " or ".join(_WORDS[c] for c in candidates), value)
    return conform(value, type(value), where)


def _conform_scalar(value: Any, hint: Any, where: str) -> Any:
    # bool is an int to Python; here a flag is never a count and a count never a flag.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and number:
        if not math.isfinite(value):
            raise NonFinite(f"{where} must be finite, got {value!r}; use None where there is none")
        return float(value)
    if hint is not float and isinstance(value, hint) and (hint is not int or number):
        return value
    raise _wrong(where, _WORDS[hint], value)


def _wrong(where: str, wanted: str, value: Any) -> ArgumentError:
    return ArgumentError(f"{where} must be {wanted}, got {type(value).__name__} {value!r:.60}")


def encode(value: Any) -> Any:
    """Turn a canonical value into what ``json.dumps`` takes: dicts, lists, numbers, strings."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: encode(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [encode(entry) for entry in value]
    return value


def decode(cls: type[_T], document: Any, where: str = "report") -> _T:
    """Build ``cls`` from parsed JSON; unknown, missing and mistyped fields are refused by name.

    Raises
    ------
    ArgumentError
        The document does not have the structure of ``cls``.
    """
    return cast(_T, _decode(document, cls, where))


def _decode(value: Any, hint: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = [option for option in get_args(hint) if option is not type(None)]
        if value is not None and len(inner) == 1:
            return _decode(value, inner[0], where)
        return value
    if origin is tuple and isinstance(value, list):
        item = get_args(hint)[0]
        return tuple(_decode(entry, item, f"{where}[{i}]") for i, entry in enumerate(value))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        known = [member.value for member in hint]
        if value not in known:
            raise ArgumentError(f"{where} must be one of {', '.join(known)}, got {value!r:.60}")
        return hint(value)
    if not (isinstance(hint, type) and dataclasses.is_dataclass(hint)):
        return value
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    hints = _hints(hint)
    for problem, names in (("unknown", value.keys() - hints), ("missing", hints.keys() - value)):
        if names:
            listed = ", ".join(repr(name)[:60] for name in sorted(names)[:5])
            raise ArgumentError(f"{where} has {problem} fields: {listed}")
    return hint(**{name: _decode(value[name], hints[name], f"{where}.{name}") for name in hints})
