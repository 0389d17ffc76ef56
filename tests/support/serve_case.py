"""What the tests of the pages share: a history with names that try to be code."""

from __future__ import annotations

from collections.abc import Sequence

from hessay.report import Report
from hessay.store import Store
from store_case import SETTINGS, content

HOSTILE = "<script>document.title='hacked'</script>\x1b[2J"


def fill(store: Store, name: str, reports: Sequence[Report], failures: int = 0) -> None:
    line = store.series(name, SETTINGS)
    for number, report in enumerate(reports):
        claim = store.claim(line, content(number), f"epoch-{number}.pt")
        assert claim is not None
        store.finish(claim, report)
    for number in range(failures):
        claim = store.claim(line, content(10_000 + number), f"{HOSTILE}.pt")
        assert claim is not None
        store.fail(claim, HOSTILE)
