"""The result of an edge fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from hessay import marchenko_pastur
from hessay._laws import FloatArray, RealArray
from hessay.edge.spectrum import checked
from hessay.silverstein import PopulationLaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Tracy-Widom 0.9999 quantile, beta 1: what lies above is counted as an outlier and kept from fits.
DROPPED = 4.359420343913646
NOISE_END = 2.0234492813801883  # its 0.99 quantile, drawn
PLOT_POINTS = 400


@dataclass(frozen=True, slots=True)
class BulkEdge:
    """A fitted bulk; eigenvalues carry the unit of the input, here called unit."""

    lower: float  # lambda_minus, unit
    upper: float  # lambda_plus, unit
    sigma2: float  # variance of an entry, unit; silverstein: factor of the population
    gamma: float  # columns over rows, dimensionless; airy: of the refused Marchenko-Pastur fit
    center: float  # Tracy-Widom centre of the largest noise eigenvalue, unit
    scale: float  # Tracy-Widom scale of the largest noise eigenvalue, unit
    goodness: float  # N * KS distance of the bulk from the fitted law, eigenvalues
    goodness_limit: float  # what noise exceeds with probability alpha / 2, eigenvalues
    accepted: bool  # goodness and shape within their limits and the outlier count settled
    method: Literal["qls", "qls_c", "airy", "silverstein"]  # qls: gamma fitted; qls_c: known
    n_values: int  # positive eigenvalues used, outliers included
    n_outliers: int  # above the 0.9999 quantile of Tracy-Widom; airy: and three errors of its edge
    sigma2_sd: float = math.nan  # standard error for noise, unit; NaN where none is known (airy)
    gamma_sd: float = math.nan  # standard error, dimensionless; 0 where gamma was given
    upper_sd: float = math.nan  # standard error of ``upper``, unit; airy: of its regression alone
    # Six squared cosine sums of the bulk in the angle of the law, chi-squared for noise, dimensionless
    # and its limit at alpha / 2; NaN where not tested (silverstein, quadrature nodes).
    shape: float = math.nan
    shape_limit: float = math.nan
    weighted: bool = False  # fitted to quadrature nodes, whose null law is not known
    law: PopulationLaw | None = field(default=None, repr=False, compare=False)  # silverstein only

    @property
    def calibrated(self) -> bool:
        """Whether a Tracy-Widom p-value from this edge means what it says."""
        return self.accepted and not self.weighted and self.method != "airy"

    @property
    def n_rows(self) -> float:
        """Rows of the data matrix, ``n`` of ``gamma = p / n``."""
        return self.n_values / min(self.gamma, 1.0)

    def plot(self, values: RealArray | None = None, *, ax: Axes | None = None) -> Axes:
        """Draw the fitted law with its edge, over the eigenvalues where they are given.

        Parameters
        ----------
        values : (k,) array, optional
            The eigenvalues that were fitted.
        ax : matplotlib Axes, optional
            Where to draw; by default on a figure of its own.

        Raises
        ------
        ArgumentError
            matplotlib is missing (extra ``plot``), ``ax`` is not an Axes, or values are unfit.
        """
        from hessay.plotting import draw_bulk

        positive_part = None if values is None else checked(values).values
        # From edge to edge, denser towards both; the law is infinite at 0 where gamma is 1.
        angles = (np.arange(PLOT_POINTS) + 0.5) * (np.pi / PLOT_POINTS)
        x = self.lower + (self.upper - self.lower) * np.sin(angles / 2) ** 2
        share = max(1.0, self.gamma) * (1 - self.n_outliers / self.n_values)
        title = f"bulk {'' if self.accepted else 'not '}accepted, {self.n_outliers} outliers"
        return draw_bulk(
            x,
            share * self._density(x),
            edge=self.upper,
            noise_end=self.center + NOISE_END * self.scale,
            values=positive_part,
            title=title,
            ax=ax,
        )

    def _density(self, x: FloatArray) -> FloatArray:
        if self.law is not None:
            return self.law.density(x / self.sigma2) / self.sigma2
        return marchenko_pastur.density(x, self.sigma2, self.gamma)
