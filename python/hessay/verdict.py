"""What a spectrum or a scan says: outliers above the noise, and the three-valued verdict."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hessay import spikes, tracy_widom
from hessay._laws import FloatArray, RealArray, level, real_vector
from hessay.edge import BulkEdge
from hessay.errors import ArgumentError

__all__ = ["Outliers", "Verdict", "outliers"]

# Tracy-Widom units: where noise alone has one eigenvalue above on average; none below is an outlier.
LOWEST = -2.0


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
    # (m,) chance that the largest noise eigenvalue lies as high, for each; None when not calibrated.
    # fwer: at most alpha.
    p_values: FloatArray | None
    sizes: FloatArray  # (m,) population eigenvalues, debiased, unit of the values
    calibrated: bool  # the edge fit was accepted and has a null law, so alpha means what it says
    alpha: float  # level of the control
    control: Literal["fwer", "fdr"]
    size_sds: FloatArray  # (m,) standard errors of ``sizes``, unit; infinite at the threshold
    overlaps: FloatArray  # (m,) squared cosine with the population direction, [0, 1]

    @property
    def verdict(self) -> Verdict:
        """FLAGGED or CLEAN at level alpha; INCONCLUSIVE from an edge that is not calibrated."""
        if not self.calibrated:
            return Verdict.INCONCLUSIVE
        return Verdict.FLAGGED if self.positions.size else Verdict.CLEAN


def outliers(
    values: RealArray,
    edge: BulkEdge,
    alpha: float = 0.01,
    *,
    control: Literal["fwer", "fdr"] = "fwer",
) -> Outliers:
    """Eigenvalues that stand above the bulk.

    Parameters
    ----------
    values : (k,) array
        Eigenvalues, any order, in the unit of ``edge``; the top ones suffice.
    edge : BulkEdge
        From :func:`hessay.fit_edge`.
    alpha : float in (0, 0.5]
        Level of the control.
    control : {"fwer", "fdr"}
        ``"fwer"``: each value is compared with the law of the *largest* noise eigenvalue, so the
        chance that noise yields any outlier at all is ``alpha``, however many values there are.
        ``"fdr"``: as many of the largest as keep the expected number of noise eigenvalues above
        the last of them, over their count, within ``alpha`` (Benjamini-Hochberg); none below the
        place where noise alone has one.

    Returns
    -------
    Outliers
        Empty when none stands out. When ``edge`` is not calibrated the same threshold is used, but
        ``p_values`` is None, ``calibrated`` False and the verdict INCONCLUSIVE: such positions are
        a hint, not a test, and their sizes those of a bulk that is only like this one.

    Raises
    ------
    ArgumentError
        ``values`` holds NaN or infinities, or an option is out of range.
    ShapeError
        ``values`` is not a vector of real numbers.

    Source: test Johnstone 2001, Ann. Statist. 29, 295; fdr Benjamini & Hochberg 1995, J. R. Stat.
    Soc. B 57, 289, with the density of real noise at its edge (Forrester, Nagao & Honner 1999, Nucl.
    Phys. B 553, 601); sizes by the inverse of Baik & Silverstein 2006, J. Multivariate Anal. 97,
    1382, errors and overlaps Paul 2007, Statist. Sinica 17, 1617.

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
    if control not in ("fwer", "fdr"):
        raise ArgumentError(f"control must be 'fwer' or 'fdr', got {control!r}")
    order = np.argsort(-array, kind="stable")
    scaled = (array[order] - edge.center) / edge.scale
    p_values = tracy_widom.sf(scaled)
    if control == "fwer":
        count = int(np.count_nonzero(p_values <= alpha))  # they rise with the order
    else:
        candidates = scaled[scaled >= LOWEST]
        expected = _expected_above(candidates, p_values[: candidates.size])
        passing = np.flatnonzero(expected <= alpha * np.arange(1, expected.size + 1))
        count = int(passing[-1]) + 1 if passing.size else 0
    positions = order[:count]
    unit = 1.0 if edge.law is None else edge.sigma2
    bulk = spikes.WhiteBulk(edge.sigma2, edge.gamma) if edge.law is None else edge.law
    sizes = np.asarray(spikes.debiased(array[positions] / unit, bulk))
    overlaps = np.asarray(spikes.overlap(sizes, bulk))
    sds = _size_deviation(sizes, overlaps, bulk, edge.n_rows)
    kept = p_values[:count].copy() if edge.calibrated else None
    sizes, sds = sizes * unit, sds * unit
    for result in (positions, sizes, sds, overlaps, kept):
        if result is not None:
            result.flags.writeable = False
    return Outliers(
        positions, kept, sizes, edge.calibrated, alpha, control, size_sds=sds, overlaps=overlaps
    )


def _expected_above(s: FloatArray, p_values: FloatArray) -> FloatArray:
    """Mean number of noise eigenvalues above ``s``, in Tracy-Widom units: the Airy-1 density's tail.

    ``(2 s^2 Ai^2 - 2 s Ai'^2 - Ai Ai') / 3 + (I - I^2 / 2) / 2``, I the integral of Ai above s. It
    cannot be less than the chance of any, which takes over where the terms have cancelled.
    """
    ai, slope, _, _ = special.airy(s)
    # Ai beyond s + 14 is below 1e-16 for every s from LOWEST on.
    nodes, weights = np.polynomial.legendre.leggauss(40)
    tail = 7 * special.airy(s[:, None] + 7 * (1 + nodes))[0] @ weights
    mean = (2 * s**2 * ai**2 - 2 * s * slope**2 - ai * slope) / 3 + 0.5 * (tail - 0.5 * tail**2)
    expected: FloatArray = np.maximum(mean, p_values)
    return expected


def _size_deviation(
    sizes: FloatArray, overlaps: FloatArray, bulk: spikes.Bulk, rows: float
) -> FloatArray:
    """``l sqrt(2 / (n psi'))``, with psi' = overlap psi / l; infinite where psi is flat."""
    slope = overlaps * np.asarray(spikes.biased(sizes, bulk)) / sizes
    with np.errstate(divide="ignore"):
        return np.asarray(sizes * np.sqrt(2 / (rows * slope)))
