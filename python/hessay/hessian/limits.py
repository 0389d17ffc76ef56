"""Checks of whole-number options."""

from __future__ import annotations

from hessay.errors import ArgumentError


def check_count(name: str, value: object, least: int) -> None:
    """Refuse what is not a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(f"{name} must be an int of at least {least}, got {value!r}")
