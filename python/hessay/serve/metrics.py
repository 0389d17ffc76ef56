"""The history as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from hessay._printable import printable
from hessay.store import Store


class _History:
    """Reads the store when it is asked; keeps nothing."""

    def __init__(self, store: Store, evidence: Mapping[str, float]) -> None:
        self._store = store
        self._evidence = evidence

    def collect(self) -> Iterator[Metric]:
        scans = CounterMetricFamily("hessay_scans", "Scans by state.", labels=["series", "state"])
        flagged = CounterMetricFamily("hessay_flagged", "Scans that flagged.", labels=["series"])
        time = GaugeMetricFamily(
            "hessay_last_scan_timestamp_seconds", "End of the last scan.", labels=["series"]
        )
        numbers = {
            name: GaugeMetricFamily(f"hessay_last_{name}", words, labels=["series"])
            for name, words in (
                ("statistic", "Deciding statistic of the last scan, dimensionless."),
                ("threshold", "What an alarm begins at, in the last scan."),
                ("p_value", "p-value of the last scan."),
            )
        }
        verdict = GaugeMetricFamily(
            "hessay_last_verdict", "1 for the last verdict.", labels=["series", "verdict"]
        )
        drift = GaugeMetricFamily(
            "hessay_drift_evidence", "Evidence of drift after the last scan.", labels=["series"]
        )
        for record in self._store.all_series():
            name, shown = record.series.name, printable(record.series.name)
            states = (
                ("done", record.n_done),
                ("claimed", record.n_open),
                ("failed", record.n_failed),
            )
            for state, n in states:
                scans.add_metric([shown, state], n)
            flagged.add_metric([shown], record.n_flagged)
            for last in self._store.history(name, state="done", limit=1):
                time.add_metric([shown], last.finished_at or 0.0)
                verdict.add_metric([shown, str(last.verdict)], 1)
                for number, family in numbers.items():
                    value = getattr(last, number)
                    if value is not None:
                        family.add_metric([shown], value)
            if name in self._evidence:
                drift.add_metric([shown], self._evidence[name])
        yield from (scans, flagged, time, verdict, *numbers.values(), drift)


def metrics(store: Store, evidence: Mapping[str, float]) -> bytes:
    """Write the counts of every series and the numbers of its last scan in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_History(store, evidence))
    return generate_latest(registry)
