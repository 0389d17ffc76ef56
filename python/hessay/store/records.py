"""Rows of the history as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Kind = Literal["checkpoint", "data batch"]
KINDS: Final = get_args(Kind)
MOST_ATTEMPTS = 3  # at one checkpoint; a file that kills its scanner must not be scanned for ever


@dataclass(frozen=True, slots=True)
class Series:
    """Checkpoints, or batches of data, measured alike: their statistics can be compared."""

    id: int
    name: str
    settings: Mapping[str, object]  # what all its scans share: alpha, seed, digest of the probe
    kind: Kind = "checkpoint"  # what is scanned: models, or data that one model ranks


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series in a list."""

    series: Series
    created_at: float  # seconds since 1970, UTC
    n_done: int  # scans with a report
    n_open: int  # claimed and not finished
    n_failed: int
    n_flagged: int
    last_finished_at: float | None  # seconds since 1970, UTC; None before the first report


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to scan one checkpoint or batch, until it runs out."""

    id: int  # of the scan
    token: str  # what tells this claim from a later one of the same scan
    attempt: int  # 1 at first
    lease_until: float  # seconds since 1970, UTC, by the clock of the store


@dataclass(frozen=True, slots=True)
class ScanRecord:
    """A scan in a list, without its report."""

    id: int  # ascending in the order of the first claims
    series: str
    name: str  # of the file when it was claimed
    content: str  # sha256 of its bytes, hex
    state: str  # "claimed", "done" or "failed"
    worker: str
    attempts: int
    claimed_at: float  # seconds since 1970, UTC
    finished_at: float | None  # seconds since 1970, UTC
    told_at: float | None  # seconds since 1970, UTC; None before all who are to be told of it were
    message: str  # why it failed, else ""
    verdict: str | None  # "CLEAN", "FLAGGED", "INCONCLUSIVE"; None without a report
    statistic: (
        float | None
    )  # dimensionless, as in the report; of a data batch its log e-value, nats
    threshold: float | None  # dimensionless
    p_value: float | None  # in [0, 1]; of a data batch the smallest of a sample
    flagged_class: int | None
    model_digest: str | None
    probe_digest: str | None
    kind: Kind = "checkpoint"
    n_samples: int | None = None  # of a data batch
    n_selected: int | None = None  # of a data batch

    @property
    def is_over(self) -> bool:
        """Whether nobody will work on it any more."""
        return self.state == "done" or (self.state == "failed" and self.attempts >= MOST_ATTEMPTS)
