"""JSON of a report before it is one: strict parsing, and what earlier versions did not have."""

from __future__ import annotations

import json
from typing import Any

from hessay.errors import ArgumentError

SCHEMA = "hessay.report/2"
VERSION_1 = "hessay.report/1"
_SINCE_2 = ("features", "mean")  # fields of the probe that version 1 had not


def require_known(schema: object) -> None:
    """Refuse a version that is not known here.

    Raises
    ------
    ArgumentError
        It is neither this version nor an earlier one.
    """
    if schema not in (VERSION_1, SCHEMA):
        raise ArgumentError(
            f"schema must be {VERSION_1} or {SCHEMA}, got {schema!r:.60}; a later version needs a "
            "later hessay"
        )


def read(text: str | bytes) -> Any:
    """Parse the JSON of a report of any known version, as a document of this one.

    Raises
    ------
    ArgumentError
        Not JSON, a field stands there twice, a number is not finite, an unknown version, or a
        field that its version does not have.
    """
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except ArgumentError:
        raise
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"not a report: this is no JSON document ({error})") from None
    if not isinstance(document, dict) or "schema" not in document:
        return document
    # First of all: what a later version added would only be called an unknown field.
    require_known(document["schema"])
    probe = document.get("probe")
    if document["schema"] == SCHEMA or not isinstance(probe, dict):
        return document
    if new := [name for name in _SINCE_2 if name in probe]:
        raise ArgumentError(f"report.probe has unknown fields: {', '.join(map(repr, new))}")
    return {**document, "probe": {**probe, **dict.fromkeys(_SINCE_2)}}


def as_written(document: Any) -> Any:
    """Leave out of an encoded report what its version does not have."""
    if document["schema"] == SCHEMA:
        return document
    probe = {name: value for name, value in document["probe"].items() if name not in _SINCE_2}
    return {**document, "probe": probe}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ArgumentError(f"not a report: the field {twice!r:.60} stands there twice")
    return document


def _refuse_constant(name: str) -> None:
    raise ArgumentError(f"not a report: {name} is no number; a report holds finite numbers only")
