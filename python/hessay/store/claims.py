"""Who may scan a checkpoint: claims that run out, as statements of either database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, update

from hessay.store.records import MOST_ATTEMPTS, Claim
from hessay.store.tables import scans


def give_up(series_id: int, content: str, time: float) -> Any:
    """End a checkpoint's last attempt that never came back."""
    return (
        update(scans)
        .where(scans.c.series_id == series_id, scans.c.content == content)
        .where(_over(time), scans.c.attempts >= MOST_ATTEMPTS)
        .values(state="failed", message="the process that scanned it did not come back")
    )


def take(insert: Any, series_id: int, content: str, mine: Mapping[str, object], time: float) -> Any:
    """Insert a claim, or take over one that is over or failed; no row comes back otherwise.

    One statement, so that of two that race one gets no row.
    """
    free = or_(_over(time), scans.c.state == "failed")
    return (
        insert.values(series_id=series_id, content=content, attempts=1, **mine)
        .on_conflict_do_update(
            index_elements=["series_id", "content"],
            set_={**mine, "attempts": scans.c.attempts + 1},
            where=and_(scans.c.attempts < MOST_ATTEMPTS, free),
        )
        .returning(scans.c.id, scans.c.attempts)
    )


def held(claim: Claim) -> Any:
    """Begin an update that changes a row only while the claim holds."""
    return update(scans).where(
        scans.c.id == claim.id, scans.c.token == claim.token, scans.c.state == "claimed"
    )


def _over(time: float) -> ColumnElement[bool]:
    return and_(scans.c.state == "claimed", scans.c.lease_until < time)
