"""A spectral distribution that knows its error."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hessay.density.estimate import Estimate, Function
from hessay.errors import ArgumentError, NonFinite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 1000  # of a plot, besides one at every node
_WIDTHS = 100  # of the default kernel in the spectrum's range


class Measured(NamedTuple):
    """A number and how far off it may be."""

    value: float
    standard_error: float  # of the probes, plus what short runs and dropped coupling may do


@dataclass(frozen=True, slots=True)
class DensityStats:
    """What an estimate cost."""

    products: int  # operator columns
    block_calls: int  # operator calls
    operator_seconds: float  # wall time inside the operator
    seconds: float  # wall time in all
    peak_bytes: int  # bases and scratch at most; the operator's own memory is not counted


@dataclass(frozen=True, slots=True, eq=False)
class SpectralDensity:
    """Distribution of the d eigenvalues: ``deflated`` of them one by one, the rest from probes."""

    nodes: NDArray[np.float64]  # (m,) ascending, in the operator's unit
    weights: NDArray[np.float64]  # (m,) share of the eigenvalues, sum 1
    d: int  # eigenvalues in all
    deflated: int  # counted one by one
    probes: int  # random directions the rest is sampled with
    scale: float  # mean |eigenvalue|, the operator's unit
    # Wasserstein-1 distance to the true distribution, in the operator's unit: at most this, in 95 of
    # 100 runs; expected about w1_expected.
    w1_error: float
    w1_expected: float
    converged: bool  # w1_error <= tol * scale
    method: Literal["exact", "sampled"]
    stats: DensityStats
    estimate: Estimate = field(repr=False)  # what the numbers above come from

    @property
    def relative_error(self) -> float:
        """``w1_error`` over the mean |eigenvalue|; 0 for the zero operator."""
        return self.w1_error / self.scale if self.scale > 0 else 0.0

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """Share of eigenvalues at or below x, any shape."""
        sums = np.concatenate([[0.0], np.minimum(np.cumsum(self.weights), 1.0)])
        sums[-1] = 1.0
        shares: NDArray[np.float64] = sums[np.searchsorted(self.nodes, _points(x), side="right")]
        return shares

    def density(self, x: ArrayLike, width: float | None = None) -> NDArray[np.float64]:
        """Eigenvalues per unit of x, seen through a Gaussian kernel; its integral is 1.

        Parameters
        ----------
        x : any shape
            In the operator's unit.
        width : float > 0, optional
            Standard deviation of the kernel; a hundredth of the spectrum's range by default.

        Raises
        ------
        ArgumentError
            The width is not positive, or must be given as all eigenvalues are equal.
        NonFinite
            A point is not finite.
        """
        if width is None:
            width = float(self.nodes[-1] - self.nodes[0]) / _WIDTHS
            if width <= 0:
                raise ArgumentError(
                    f"all eigenvalues are equal to {self.nodes[0]:g}: an atom has no density; "
                    "pass width to see it through a kernel"
                )
        if not (np.isfinite(width) and width > 0):
            raise ArgumentError(f"width must be positive and finite, got {width}")
        points = _points(x)
        out = np.zeros(points.shape)
        for node, weight in zip(self.nodes, self.weights, strict=True):
            out += weight * np.exp(-0.5 * ((points - node) / width) ** 2)
        smooth: NDArray[np.float64] = out / (width * (2 * np.pi) ** 0.5)
        return smooth

    def functional(self, f: Function) -> Measured:
        """Mean of f over the eigenvalues, trace f(A) / d; ``d`` times it for a log-determinant.

        Parameters
        ----------
        f : callable
            Values (m,) float64 to values (m,), element by element; finite on the spectrum.

        Raises
        ------
        NonFinite
            f is not finite on the spectrum as it is known.
        ArgumentError
            f does not keep the shape.

        Examples
        --------
        >>> from hessay.density import spectral_density
        >>> found = spectral_density(np.diag([1.0, 2.0, 4.0]))
        >>> round(3 * found.functional(np.log).value, 6) == round(float(np.log(8)), 6)
        True
        """

        def checked(x: NDArray[np.float64]) -> NDArray[np.floating]:
            with np.errstate(all="ignore"):
                values = np.asarray(f(x))
            if values.shape != x.shape:
                raise ArgumentError(
                    f"f maps {x.shape} to {values.shape}; it must work element by element"
                )
            if not np.isfinite(values).all():
                where = float(x[~np.isfinite(values)][0])
                raise NonFinite(
                    f"f is not finite at {where:g}, where the spectrum is; shift or clip inside f"
                )
            return values

        return Measured(*self.estimate.functional(checked))

    def moments(self, k: int) -> tuple[Measured, ...]:
        """Means of eigenvalue^1, ..., eigenvalue^k over the spectrum.

        Raises
        ------
        ArgumentError
            k is not a positive integer.
        """
        if not _is_count(k):
            raise ArgumentError(f"k must be a positive integer, got {k!r}")
        return tuple(self.functional(_power(j)) for j in range(1, int(k) + 1))

    def plot(self, *, ax: Axes | None = None, width: float | None = None) -> Axes:
        """Draw the density on a logarithmic scale, and ticks at eigenvalues counted one by one.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; on a figure of its own by default, which ``ax.figure`` gives.
        width : float > 0, optional
            As in :meth:`density`. Equal eigenvalues have no density unless it is given: a tick is
            drawn.

        Raises
        ------
        ArgumentError
            matplotlib is missing (extra ``plot``), ``ax`` is not an Axes, the width not positive.
        """
        from hessay.plotting import draw_density

        low, high = float(self.nodes[0]), float(self.nodes[-1])
        kernel = (high - low) / _WIDTHS if width is None else width
        if width is None and kernel == 0:
            x, height, ticks = np.empty(0), np.empty(0), self.nodes[:1]
        else:
            grid = np.linspace(low - 3 * kernel, high + 3 * kernel, _POINTS)
            x = np.sort(np.concatenate([grid, self.nodes]))
            height, ticks = self.density(x, kernel), self.estimate.known
        single = 1 / (self.d * (kernel or 1.0) * (2 * np.pi) ** 0.5)
        title = f"{self.d} eigenvalues, Wasserstein-1 error at most {self.relative_error:.2g}"
        title += " of their mean magnitude"
        return draw_density(x, height, ticks, floor=single / 2, title=title, ax=ax)

    def explain(self) -> str:
        """Say in plain words how it was found, and what is certain about it."""
        if self.method == "exact":
            return f"all {self.d} eigenvalues of the matrix itself: exact to rounding"
        by = (
            f"{self.deflated} eigenvalues counted one by one, the other {self.d - self.deflated} "
            f"sampled with {self.probes} probe{'s' if self.probes != 1 else ''}, "
            f"{self.stats.products} products"
        )
        bar = f"Wasserstein-1 error at most {self.w1_error:.3g} ({self.relative_error:.2g} of the "
        bar += "mean |eigenvalue|) in 95 of 100 runs"
        late = "" if self.converged else "; not what was asked for: the budget was spent first"
        return f"{by}; {bar}{late}"


def _points(x: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(x, dtype=np.float64)
    if np.isnan(points).any():
        raise NonFinite("x holds NaN")
    return points


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and int(value) >= 1


def _power(exponent: int) -> Function:
    def power(x: NDArray[np.float64]) -> NDArray[np.float64]:
        raised: NDArray[np.float64] = x**exponent
        return raised

    return power
