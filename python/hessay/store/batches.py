"""What the ranking of a batch of arriving data said, and the columns that reports are listed by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hessay.errors import StoreError
from hessay.report import Report

SCHEMA = "hessay.batch/1"


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch of data, ranked."""

    verdict: str  # "FLAGGED" where samples were selected, "INCONCLUSIVE", else "CLEAN"
    n_samples: int
    n_selected: int  # at the false discovery rate of the ranking
    smallest_p_value: float  # of a sample, given that its class is a target, in (0, 1]
    log_e: float  # evidence that the batch is poisoned: logarithm of an e-value, nats
    flagged_class: int | None  # of most of the selected
    model_digest: str
    probe_digest: str
    test: Mapping[str, Any]  # what log_e was computed from
    ranking: Mapping[str, Any]  # all of it: every sample, and the indices of the selected

    def to_json(self) -> str:
        """Write all of it: ASCII, keys sorted, newline at the end."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        document = {"schema": SCHEMA, **fields}
        return json.dumps(document, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> BatchReport:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        StoreError
            It is something else.
        """
        try:
            document = json.loads(text)
            if document.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            return cls(**document)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreError(
                f"this is no report of a data batch ({type(error).__name__}: {error})"
            ) from None


def columns_of(report: Report | BatchReport) -> dict[str, object]:
    """Give the columns that a scan with this report is listed by."""
    if isinstance(report, BatchReport):
        return {
            "verdict": report.verdict,
            "statistic": report.log_e,
            "p_value": report.smallest_p_value,
            "flagged_class": report.flagged_class,
            "model_digest": report.model_digest,
            "probe_digest": report.probe_digest,
            "n_samples": report.n_samples,
            "n_selected": report.n_selected,
        }
    return {
        "verdict": report.verdict.name,
        "statistic": report.statistic,
        "threshold": report.threshold,
        "p_value": report.p_value,
        "flagged_class": report.flagged_class,
        "model_digest": report.model.digest,
        "probe_digest": report.probe.digest,
    }
