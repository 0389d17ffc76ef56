"""What a caller gives the history, checked before a database sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hessay.errors import ArgumentError

LONGEST_NAME = 255
_VERDICTS = ("CLEAN", "FLAGGED", "INCONCLUSIVE")


def require_filters(verdict: str | None, state: str | None, limit: int) -> None:
    """See that a list can be asked for like this."""
    if not 1 <= limit <= 10_000:
        raise ArgumentError(f"limit must lie in [1, 10000], got {limit}")
    if verdict is not None and verdict not in _VERDICTS:
        raise ArgumentError(f"verdict must be one of {', '.join(_VERDICTS)}, got {verdict!r}")
    if state not in (None, "claimed", "done", "failed"):
        raise ArgumentError(f"state must be claimed, done or failed, got {state!r}")


def require_same_settings(
    name: str, kept: Mapping[str, object], asked: Mapping[str, object]
) -> None:
    """See that a series is gone on with as it was begun."""
    keys = [k for k in sorted({*kept, *asked}) if kept.get(k) != asked.get(k)]
    if keys:
        raise ArgumentError(
            f"the series {name!r} was begun with other settings ({', '.join(keys)}): "
            f"{', '.join(f'{k} = {kept.get(k)!r}, now {asked.get(k)!r}' for k in keys)}; "
            f"numbers measured differently cannot be compared: give it another name"
        )


def require_content(content: str) -> None:
    """See that it is a sha256, in hexadecimal digits."""
    if not re.fullmatch("[0-9a-f]{64}", content):
        raise ArgumentError(f"content must be 64 hexadecimal digits, got {content!r:.80}")


def require_lease(seconds: float) -> None:
    """See that a lease ends."""
    if not 0 < seconds < float("inf"):
        raise ArgumentError(f"lease_seconds must be positive and finite, got {seconds}")


def storable(text: str) -> str:
    """Write what no database takes, lone surrogates of odd file names and NUL, as an escape."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
