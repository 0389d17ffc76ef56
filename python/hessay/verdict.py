"""What a spectrum or a scan says: outliers above the noise, and the three-valued verdict."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessay import tracy_widom
from hessay._laws import FloatArray, RealArray, level, real_vector
from hessay.edge import BulkEdge

__all__ = ["Outliers", "Verdict", "outliers"]


class Verdict(enum.Enum):
    """Outcome of a test at a stated level; ``str()`` gives the name."""

    CLEAN = "CLEAN"  # tested, and nothing beyond the threshold
    FLAGGED = "FLAGGED"  # beyond the threshold
    INCONCLUSIVE = "INCONCLUSIVE"  # the test could not be made; the reasons say why

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Outliers:
    """Eigenvalues above the noise, largest first; the arrays are read-only."""

    positions: NDArray[np.intp]  # (m,) into the values given
    p_values: FloatArray | None  # (m,) family-wise, in [0, alpha]; None when not calibrated
    sizes: FloatArray  # (m,) population eigenvalues, debiased, unit of the values
    calibrated: bool  # the edge fit was accepted, so alpha means what it says
    alpha: float  # level of the whole family


def outliers(values: RealArray, edge: BulkEdge, alpha: float = 0.01) -> Outliers:
    """Eigenvalues that stand above the bulk.

    Each value is compared with the law of the *largest* noise eigenvalue, so the chance that noise
    yields any outlier at all is ``alpha``, however many values there are.

    Parameters
    ----------
    values : (k,) array
        Eigenvalues, any order, in the unit of ``edge``; the top ones suffice.
    edge : BulkEdge
        From :func:`hessay.fit_edge`.
    alpha : float in (0, 0.5]
        Family-wise level.

    Returns
    -------
    Outliers
        Empty when none stands out. When ``edge`` was not accepted the same threshold is used, but
        ``p_values`` is None and ``calibrated`` False: such positions are a hint, not a test.

    Raises
    ------
    ArgumentError
        ``values`` holds NaN or infinities, or ``alpha`` is out of range.
    ShapeError
        ``values`` is not a vector of real numbers.

    Source: test Johnstone 2001, Ann. Statist. 29, 295; sizes by the inverse of Baik & Silverstein
    2006, J. Multivariate Anal. 97, 1382.

    Examples
    --------
    >>> from hessay.edge import fit_edge
    >>> noise = np.random.default_rng(1).standard_normal((400, 100))
    >>> noise[:, 0] *= 3
    >>> values = np.linalg.eigvalsh(noise.T @ noise / 400)[::-1]
    >>> outliers(values, fit_edge(values, 0.25)).positions.tolist()
    [0]
    """
    array = real_vector("values", values)
    alpha = level("alpha", alpha)
    order = np.argsort(-array, kind="stable")
    p_values = tracy_widom.sf((array[order] - edge.center) / edge.scale)
    count = int(np.count_nonzero(p_values <= alpha))  # they rise with the order
    positions = order[:count]
    sizes = _population_size(array[positions], edge.sigma2, edge.gamma)
    kept = p_values[:count].copy() if edge.accepted else None
    for result in (positions, sizes, kept):
        if result is not None:
            result.flags.writeable = False
    return Outliers(positions, kept, sizes, edge.accepted, alpha)


def _population_size(values: FloatArray, sigma2: float, gamma: float) -> FloatArray:
    """Inverse of l -> l (1 + gamma sigma2 / (l - sigma2)), the larger root.

    At and below the edge, where a population eigenvalue leaves no trace, the threshold
    sigma2 (1 + sqrt(gamma)).
    """
    y = values / sigma2
    half = 0.5 * (y + 1 - gamma)
    # half^2 - y without cancellation: (y - a)(y - b) / 4, a and b the edges over sigma2
    root = gamma**0.5
    spread = np.maximum((y - (1 + root) ** 2) * (y - (1 - root) ** 2), 0.0)
    sizes: FloatArray = sigma2 * np.maximum(half + 0.5 * np.sqrt(spread), 1 + root)
    return sizes
