"""What the formats share: the list of reports, the name of a model, JSON that is safe to embed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, TypeAlias
from urllib.parse import quote

from hessay._printable import printable
from hessay.errors import ArgumentError
from hessay.report import Report

Reports: TypeAlias = Report | Sequence[Report]

_SHOWN = 12  # hex digits of a digest where only a reader needs it


def listed(reports: Reports) -> tuple[Report, ...]:
    """Give the reports as a tuple.

    Raises
    ------
    ArgumentError
        There is none, or one of them is no report. An empty document would read as clean.
    """
    found = (reports,) if isinstance(reports, Report) else tuple(reports)
    if not found:
        raise ArgumentError("there is no report to export; give at least one")
    for item in found:
        if not isinstance(item, Report):
            raise ArgumentError(f"an export takes reports, got {type(item).__name__}")
    return found


def relative_path(source: str) -> str | None:
    """Path of a model without the directories of the machine it was scanned on.

    Parameters
    ----------
    source : str
        ``report.model.source``.

    Returns
    -------
    str or None
        ``source`` itself, cleaned, where it stays below the working directory; else its last part.
        None for a model given in memory.

    Examples
    --------
    >>> relative_path("models/./a.pt"), relative_path("/home/me/a.pt"), relative_path("../a.pt")
    ('models/a.pt', 'a.pt', 'a.pt')
    """
    if re.match(r"[A-Za-z]:[\\/]|\\\\", source):
        return PureWindowsPath(source).name or None
    path = PurePosixPath(source)
    # "~" is a home directory, and a URL has no part below the working directory.
    if path.is_absolute() or ".." in path.parts or source.startswith("~") or "://" in source:
        return path.name if path.name not in ("", "..") else None
    return str(path) if path.name else None


def relative_uri(source: str) -> str | None:
    """Write :func:`relative_path` as a relative URI: percent-encoded, no scheme, no leading slash.

    Examples
    --------
    >>> relative_uri("models/a model#1.pt")
    'models/a%20model%231.pt'
    """
    path = relative_path(source)
    if path is None:
        return None
    try:
        # File names that are no UTF-8 reach Python as surrogates; their bytes come back here.
        encoded = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        encoded = path.encode("utf-8", "backslashreplace")
    return quote(encoded, safe="/")


def model_name(report: Report) -> str:
    """Name of the scanned model for a reader, harmless and without directories of the machine."""
    path = relative_path(report.model.source)
    if path is None:
        return f"model in memory, {short(report.model.digest)}"
    return printable(path)


def short(digest: str) -> str:
    """First digits of a digest."""
    return printable(digest[:_SHOWN])


def scanner_version(report: Report) -> str:
    """Version of hessay that scanned."""
    # CycloneDX allows 1024 characters; no version needs more than this.
    return printable(report.environment.get("hessay", "unknown"))[:100]


def number(value: float) -> str:
    """Shortest decimal text that reads back as the same double."""
    return repr(float(value))


def json_text(document: Any) -> str:
    """Write JSON: ASCII, keys in the order given, also harmless inside an HTML page."""
    text = json.dumps(document, indent=1, allow_nan=False)
    # These three stand only inside strings, where an escape means the same.
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text + "\n"


def without_none(**entries: Any) -> dict[str, Any]:
    """Keep the entries that have a value: a missing number is left out, never written as zero."""
    return {name: value for name, value in entries.items() if value is not None}
