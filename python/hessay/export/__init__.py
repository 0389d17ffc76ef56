"""Reports for other programs: code scanning, bills of materials, CI gates, monitoring, model cards.

Every function takes one :class:`~hessay.report.Report` or a sequence of them and returns a document as
text; nothing is read or written, and the same reports give the same bytes. Names, labels and reasons
are made harmless first; no directory of the machine that scanned is given away.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from hessay.export.cyclonedx import cyclonedx
from hessay.export.junit import Inconclusive, junit
from hessay.export.model_card import model_card
from hessay.export.prometheus import prometheus
from hessay.export.sarif import sarif
from hessay.export.scans import Reports

# Under the names that the command line takes.
FORMATS: Mapping[str, Callable[[Reports], str]] = MappingProxyType(
    {
        "sarif": sarif,
        "cyclonedx": cyclonedx,
        "junit": junit,
        "prometheus": prometheus,
        "model-card": model_card,
    }
)

__all__ = [
    "FORMATS",
    "Inconclusive",
    "Reports",
    "cyclonedx",
    "junit",
    "model_card",
    "prometheus",
    "sarif",
]
