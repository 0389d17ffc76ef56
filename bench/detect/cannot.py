"""Why a contender gives no answer."""

from __future__ import annotations


class CannotDo(Exception):
    """The contender does not judge this case; the message says why."""
