"""Where the noise in a spectrum ends: a law fitted to the bulk, and its upper edge.

Three ways, tried by ``method="auto"`` in this order: the Marchenko-Pastur law by least squares of
its quantiles (``qls``), or the law of a given population (``silverstein``); where the bulk refuses
it, the edge read off the ranks alone (``airy``), which fits any square-root edge but calibrates no
p-value. A fit whose Kolmogorov-Smirnov distance is beyond what noise gives is not accepted.
"""

from hessay.edge.bulk import BulkEdge
from hessay.edge.fit import fit_edge

__all__ = ["BulkEdge", "fit_edge"]
