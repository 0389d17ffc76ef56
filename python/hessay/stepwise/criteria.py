"""When one model is better than another: information criteria, Cp, adjusted R2, exact F tests.

With C outputs that share a support the residuals E (n, C) count as one multivariate regression with
unknown covariance. Outputs that are combinations of others (one-hot classes add up to 1) are dropped:
q <= C is the rank of y. m counts the columns of the model, n the rows; constants common to all models
are left out. All but ``adj_r2`` are better when smaller.

====== =====================================================================================
aic    n log det(E'E / n) + 2 q m                                              Akaike 1974
aicc   n (log det(E'E / n) + q) + 2 d (r q + q (q + 1) / 2), r = m + intercept,
       d = n / (n - r - q - 1)                                     Bedrick & Tsai 1994
bic    n log det(E'E / n) + log(n) q m                                         Schwarz 1978
ebic   bic + 2 log binomial(p, m), p the candidates: gamma = 1           Chen & Chen 2008
cp     RSS / s^2 - n q + 2 q r, s^2 of the model with all candidates           Mallows 1973
adj_r2 1 - (RSS / (n - r)) / (TSS / (n - intercept)), larger is better
f      p-value of the last move times the number of candidates            Bonferroni
====== =====================================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hessay.errors import ArgumentError

Array = NDArray[np.float64]
CriterionName: TypeAlias = Literal["bic", "aic", "aicc", "ebic", "cp", "adj_r2", "f"]

_DEPENDENT = 1e-10  # eigenvalue of the outputs' correlation matrix that counts as zero
_NOTHING = 1e-26  # of det(Y'Y)'s factors: a residual that is rounding alone (eps^2 = 5e-32)


def checked_name(criterion: str | None) -> CriterionName | None:
    """``criterion`` if it is one.

    Raises
    ------
    ArgumentError
        It is not.
    """
    names = get_args(CriterionName)
    if criterion is None or criterion in names:
        return criterion  # type: ignore[return-value]  # just checked
    raise ArgumentError(f"criterion must be one of {', '.join(names)} or None, got {criterion!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Criteria and tests of models for one y."""

    name: CriterionName | None
    n: int  # rows
    intercept: bool
    candidates: int  # columns that may enter, p
    total: Array  # (C, C) Y'Y about the mean, y^2
    variance: float  # s^2 of the full model, for cp, y^2
    basis: Array  # (C, q) with basis' Y'Y basis = I: independent outputs

    @classmethod
    def of(
        cls,
        name: CriterionName | None,
        n: int,
        *,
        intercept: bool,
        candidates: int,
        total: Array,
        variance: float = math.nan,
    ) -> Judge:
        """Find the independent outputs of ``total`` (C, C)."""
        root = np.sqrt(np.diag(total))
        inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
        values, vectors = np.linalg.eigh(total * inverse[:, None] * inverse)
        kept = values > _DEPENDENT * max(float(values[-1]), 1e-300)
        basis = inverse[:, None] * vectors[:, kept] / np.sqrt(values[kept])
        return cls(name, n, intercept, candidates, total, variance, basis)

    @property
    def outputs(self) -> int:
        """q, independent outputs; 0 when y is constant."""
        return int(self.basis.shape[1])

    def log_det(self, cross: Array) -> float:
        """Log det of E'E relative to that of Y'Y, over the independent outputs."""
        values = np.linalg.eigvalsh(self.basis.T @ cross @ self.basis)
        return float(np.log(np.maximum(values, _NOTHING)).sum())

    def value(self, cross: Array, m: int) -> float:
        """Criterion of a model with m columns and residual products ``cross`` (C, C)."""
        n, q, r = self.n, self.outputs, m + self.intercept
        rss, tss = float(np.trace(cross)), float(np.trace(self.total))
        if self.name == "cp":
            return rss / self.variance - n * q + 2 * q * r
        if self.name == "adj_r2":
            if n <= r or tss <= 0:
                return -math.inf
            return 1 - (rss / (n - r)) / (tss / (n - self.intercept))
        if self.name is None or self.name == "f":
            return math.nan
        scale = 2 * float(np.log(np.linalg.svd(self.basis, compute_uv=False)).sum()) if q else 0.0
        fit = n * (self.log_det(cross) - scale - q * math.log(n))
        if self.name == "aic":
            return fit + 2 * q * m
        if self.name == "aicc":
            room = n - r - q - 1
            return fit + n * q + 2 * n / room * (r * q + q * (q + 1) / 2) if room > 0 else math.inf
        if self.name == "bic":
            return fit + math.log(n) * q * m
        p = max(self.candidates, m)
        models = math.lgamma(p + 1) - math.lgamma(m + 1) - math.lgamma(p - m + 1)
        return fit + math.log(n) * q * m + 2 * models

    def improves(self, new: float, old: float) -> bool:
        """Whether ``new`` beats ``old`` by more than rounding."""
        margin = 1e-10 * max(1.0, abs(old)) if math.isfinite(old) else 0.0
        return new > old + margin if self.name == "adj_r2" else new < old - margin

    def p_value(self, smaller: Array, larger: Array, columns: int, m: int) -> float:
        """Test that ``columns`` columns explain nothing; E'E without and with them.

        ``m`` is the number of columns of the larger model. Exact for Gaussian errors and columns fixed in
        advance when one column or up to two outputs are tested; otherwise Rao's F (Rao 1973, 8c.5).
        """
        q, g = self.outputs, columns
        nu = self.n - m - self.intercept
        if q == 0 or g == 0 or nu - q + 1 <= 0:
            return math.nan
        log_ratio = min(0.0, self.log_det(larger) - self.log_det(smaller))  # log of Wilks' Lambda
        below = q * q + g * g - 5
        s = math.sqrt((q * q * g * g - 4) / below) if below > 0 and q * g > 2 else 1.0
        first = q * g
        second = (nu - (q - g + 1) / 2) * s - q * g / 2 + 1
        f = math.expm1(-log_ratio / s) * second / first
        return float(special.fdtrc(first, second, f))

    def least_ratio(self, alpha: float) -> float:
        """Fall over residual sum of squares below which no column enters: a hint, on the low side."""
        n = float(self.n)
        if self.name == "f":
            needed = (
                float(special.fdtri(1, max(n - 2, 1), 1 - min(alpha / self.candidates, 0.5))) / n
            )
        elif self.name in ("bic", "ebic"):
            needed = math.log(n) / n
        elif self.name == "adj_r2":
            needed = 1 / n
        else:
            needed = 0.0 if self.name is None else 2 / n
        return 0.8 * -math.expm1(-needed)
