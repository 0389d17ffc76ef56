"""Stepwise regression in scikit-learn's manners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hessay.errors import ArgumentError
from hessay.stepwise import tensor_inputs as tensors
from hessay.stepwise.cross_validation import (
    cross_validate_path,
    leave_one_out_path,
    supports_along,
)
from hessay.stepwise.design import lies_on_device, on_host
from hessay.stepwise.estimator_base import EstimatorBase
from hessay.stepwise.permutation import permutation_path
from hessay.stepwise.row_inputs import matrix, on_kept_rows, weights
from hessay.stepwise.rows import FittedRows
from hessay.stepwise.summary import summarize

if TYPE_CHECKING:
    from hessay.stepwise import StepwisePath

_OUT_OF_SAMPLE = ("cv", "loo", "permutation")


class StepwiseRegression(EstimatorBase):
    """Linear regression on columns chosen step by step, for one or many outputs.

    Parameters
    ----------
    criterion : str or None
        "bic", "aic", "aicc", "ebic", "cp", "adj_r2", "f" as in ``stepwise_path``; "cv" (K-fold, the
        choice included), "loo" (leave-one-out of the chosen models), "permutation" (F-to-enter
        against permuted residuals); None with ``n_features``.
    direction : "forward", "backward" or "both"
        "cv" and "loo" take "forward" or "backward", "permutation" takes "forward".
    n_features : int or None
        Exactly so many columns.
    max_features : int or None
        At most so many.
    fit_intercept : bool
    ridge : float
        Added to the objective as ``ridge * ||coef||^2``, >= 0.
    forced, forbidden : sequence of int
        Columns that are always, or never, in the model.
    groups : sequence of sequences of int, or None
        Columns that enter and leave together.
    alpha_enter : float
        Level of "f" and "permutation", in (0, 1).
    cv : int or pairs of (train, test) positions
        Folds of "cv".
    n_permutations : int
        Of "permutation".
    random_state : int
        Seed of the folds and permutations, >= 0.

    Attributes
    ----------
    coef_ : (p,) or (C, p) float64
        Zero outside the support; unit y per unit x.
    intercept_ : float or (C,)
    support_ : (p,) bool
    order_ : (k,) intp
        Selected columns in order of entry.
    path_ : StepwisePath
        Every step with delta RSS, criterion and p-value; for "cv", "loo" and "permutation" it goes
        on beyond the model that was taken.
    scores_ : (steps + 1,) float64
        Out-of-sample error after each step ("cv", "loo"), or p-values ("permutation"); else empty.
    n_features_in_, feature_names_in_
        As scikit-learn has them; names of pandas and polars columns are kept.
    rows_ : FittedRows
        The fit of the support, which ``partial_fit`` goes on with.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 5))
    >>> model = StepwiseRegression().fit(X, 3 * X[:, 2] - X[:, 4] + 0.1 * rng.standard_normal(60))
    >>> model.order_.tolist()
    [2, 4]
    """

    def __init__(
        self,
        *,
        criterion: str | None = "bic",
        direction: Literal["forward", "backward", "both"] = "both",
        n_features: int | None = None,
        max_features: int | None = None,
        fit_intercept: bool = True,
        ridge: float = 0.0,
        forced: Sequence[int] = (),
        forbidden: Sequence[int] = (),
        groups: Any = None,
        alpha_enter: float = 0.05,
        cv: Any = 5,
        n_permutations: int = 199,
        random_state: int = 0,
    ) -> None:
        self.criterion = criterion
        self.direction = direction
        self.n_features = n_features
        self.max_features = max_features
        self.fit_intercept = fit_intercept
        self.ridge = ridge
        self.forced = forced
        self.forbidden = forbidden
        self.groups = groups
        self.alpha_enter = alpha_enter
        self.cv = cv
        self.n_permutations = n_permutations
        self.random_state = random_state

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> StepwiseRegression:
        """Choose columns and fit them.

        Parameters
        ----------
        X : (n, p) real
            A tensor on a CUDA device is read there, for the criteria of ``stepwise_path``.
        y : (n,) or (n, C) real
        sample_weight : (n,) float, not negative
            Rows of weight zero are left out.

        Raises
        ------
        ShapeError, NonFinite, ArgumentError
            With the row and the column, the value got, and what to do.
        """
        x, outputs, weight = self._checked(X, y, sample_weight, reset=True, minimum=2)
        folds = on_kept_rows(self.cv, sample_weight) if self.criterion == "cv" else self.cv
        path, order, self.scores_ = self._select(x, outputs, weight, folds)
        self.path_ = path
        self.order_ = np.array(order, dtype=np.intp)
        self.support_ = np.zeros(x.shape[1], dtype=bool)
        self.support_[self.order_] = True
        fit = tensors.fitted_tensor if lies_on_device(x) else FittedRows
        self.rows_ = fit(
            x,
            outputs,
            support=self.order_,
            fit_intercept=self.fit_intercept,
            sample_weight=weight,
            ridge=self.ridge,
        )
        self._take_over()
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> StepwiseRegression:
        """Add rows to the fit; the columns stay those that the first call chose.

        The first call is ``fit``. ``path_`` stays that of ``fit``.
        """
        if not hasattr(self, "rows_"):
            return self.fit(X, y, sample_weight)
        x, outputs, weight = self._checked(X, y, sample_weight, reset=False)
        self.rows_.add(x, outputs, weight)
        self._take_over()
        return self

    def forget(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> StepwiseRegression:
        """Take rows out of the fit again: the same X, y and weights; the columns stay.

        Raises
        ------
        ArgumentError
            The rest would not determine the coefficients; the message names the row, and nothing
            has changed.
        """
        self._need_fitted()
        x, outputs, weight = self._checked(X, y, sample_weight, reset=False)
        self.rows_.delete(x, outputs, weight)
        self._take_over()
        return self

    def predict(self, X: ArrayLike) -> Any:
        """(n,) or (n, C) fitted values of rows (n, p)."""
        self._need_fitted()
        if lies_on_device(X):
            return tensors.predicted_tensor(self, X)
        x = matrix(self._data(X, reset=False), "Input X", np.float64)
        return self.rows_.predict(x)

    def summary(self) -> str:
        """Say as a table what was chosen, and why at each step."""
        self._need_fitted()
        names = getattr(self, "feature_names_in_", None)
        return summarize(
            self, [f"x{i}" for i in range(self.n_features_in_)] if names is None else names
        )

    def _get_support_mask(self) -> Any:
        self._need_fitted()
        return self.support_

    def _checked(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool, minimum: int = 1
    ) -> tuple[Any, Any, Any]:
        if y is None:
            raise ArgumentError("requires y to be passed, but the target y is None")
        if lies_on_device(X):
            x, outputs = tensors.checked_tensor(self, X, y, reset=reset)
        else:
            x, outputs = self._data(X, on_host(y), reset=reset, minimum=minimum)
            matrix(x, "Input X", np.float64)
        matrix(outputs, "Input y", np.float64)
        sample_weight = on_host(sample_weight)
        weight = weights(sample_weight, len(x), allow_zero=True)
        if weight is not None and not weight.all():
            kept = weight > 0
            if not kept.any():
                raise ArgumentError("every sample_weight is zero; there is nothing to fit")
            x, outputs, weight = x[kept], outputs[kept], weight[kept]
        return x, outputs, weight

    def _select(
        self, x: Any, y: Any, weight: Any, folds: Any
    ) -> tuple[StepwisePath, Sequence[int], Any]:
        from hessay.stepwise import stepwise_path

        common: dict[str, Any] = {
            "fit_intercept": self.fit_intercept,
            "forced": tuple(self.forced),
            "forbidden": tuple(self.forbidden),
        }
        if self.criterion not in _OUT_OF_SAMPLE:
            common |= {
                "direction": self.direction,
                "criterion": self.criterion,
                "n_features": self.n_features,
                "max_features": self.max_features,
                "ridge": self.ridge,
                "groups": self.groups,
                "alpha_enter": self.alpha_enter,
            }
            path = stepwise_path(x, y, sample_weight=weight, **common)
            return path, supports_along(path)[-1], np.zeros(0)
        if lies_on_device(x):
            tensors.refuse_out_of_sample(self.criterion, x)
        if self.n_features is not None:
            raise ArgumentError(
                f"n_features={self.n_features} contradicts criterion={self.criterion!r}, which "
                "chooses the number; give max_features, or criterion=None"
            )
        if self.criterion == "permutation":
            if self.direction != "forward" or self.groups is not None or self.ridge:
                raise ArgumentError(
                    "criterion='permutation' enters single columns without ridge: it needs "
                    f"direction='forward', got {self.direction!r}, groups=None and ridge=0"
                )
            tested = permutation_path(
                x,
                y,
                alpha=self.alpha_enter,
                n_permutations=self.n_permutations,
                seed=self.random_state,
                max_features=self.max_features,
                sample_weight=weight,
                **common,
            )
            return tested.path, tested.supports[tested.best], np.array(tested.p_values)
        options: dict[str, Any] = {
            "max_features": self.max_features,
            "sample_weight": weight,
            "direction": self.direction,
            "ridge": self.ridge,
            "groups": self.groups,
            **common,
        }
        if self.criterion == "cv":
            scored = cross_validate_path(x, y, cv=folds, seed=self.random_state, **options)
        else:
            scored = leave_one_out_path(x, y, **options)
        return scored.path, scored.supports[scored.best], scored.errors

    def _take_over(self) -> None:
        inside = self.rows_.coef
        self.coef_ = np.zeros((*inside.shape[:-1], self.n_features_in_))
        self.coef_[..., self.order_] = inside
        self.intercept_ = self.rows_.intercept
