"""Which training samples are poison: what follows a verdict.

Read in this order: ``matched_filter`` (how much of a perturbation a sample carries), ``null`` (how
large that gets on clean samples), ``stream`` (the data in one pass), ``rank``, ``ranking``; ``top_samples``
fetches those at the top.
"""

from __future__ import annotations

from hessay.samples.rank import rank_samples
from hessay.samples.ranking import Explanation, Ranking, SuspectClass
from hessay.samples.top_samples import Gallery, gallery

__all__ = ["Explanation", "Gallery", "Ranking", "SuspectClass", "gallery", "rank_samples"]
