"""scikit-learn's base classes where it is installed, and what of them the estimator needs where not."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from hessay.errors import ArgumentError, ShapeError

try:
    from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
    from sklearn.feature_selection import SelectorMixin
    from sklearn.utils.validation import (
        check_array,
        check_consistent_length,
        check_is_fitted,
        validate_data,
    )

    HAS_SKLEARN = True
except ImportError:
    HAS_SKLEARN = False


def _column_names(X: Any) -> Any:
    names = getattr(X, "columns", None)  # pandas and polars
    listed = None if names is None or callable(names) else list(names)
    strings = listed is not None and all(isinstance(name, str) for name in listed)
    return np.asarray(listed, dtype=object) if strings else None


if HAS_SKLEARN:

    class EstimatorBase(SelectorMixin, MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
        """scikit-learn's selector and regressor."""

        def _data(self, X: Any, y: Any = None, *, reset: bool, minimum: int = 1) -> Any:
            # Finiteness is checked afterwards, where the row and the column can be named.
            options: dict[str, Any] = {
                "dtype": np.float64,
                "ensure_all_finite": False,
                "reset": reset,
                "ensure_min_samples": minimum,
            }
            if y is None:
                return validate_data(self, X, **options)
            x = validate_data(self, X, **options)
            outputs = check_array(
                y, ensure_2d=False, dtype=np.float64, ensure_all_finite=False, input_name="y"
            )
            check_consistent_length(x, outputs)
            return x, outputs

        def _need_fitted(self) -> None:
            check_is_fitted(self, "coef_")

        def get_feature_names_out(self, input_features: Any = None) -> Any:
            """Give the names of the selected columns."""
            return super().get_feature_names_out(input_features)

else:

    class EstimatorBase:  # type: ignore[no-redef]
        """The same manners without scikit-learn: parameters, shapes, names, R^2."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
            """Give the arguments of the constructor by name."""
            names = list(inspect.signature(type(self).__init__).parameters)[1:]
            return {name: getattr(self, name) for name in names}

        def set_params(self, **params: Any) -> Any:
            """Set arguments of the constructor."""
            known = self.get_params()
            for name, value in params.items():
                if name not in known:
                    raise ArgumentError(f"no parameter {name!r}; there are {', '.join(known)}")
                setattr(self, name, value)
            return self

        def _data(self, X: Any, y: Any = None, *, reset: bool, minimum: int = 1) -> Any:
            names = _column_names(X)
            try:
                x = np.asarray(X, dtype=np.float64)
                outputs = None if y is None else np.asarray(y, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise ShapeError(
                    f"X and y must hold numbers ({error}); encode categories as columns of 0 and 1"
                ) from None
            if x.ndim != 2 or not x.shape[1] or len(x) < minimum:
                raise ShapeError(f"X must be (n >= {minimum}, p >= 1), got shape {x.shape}")
            if reset:
                self.n_features_in_ = x.shape[1]
                if names is not None:
                    self.feature_names_in_ = names
                elif hasattr(self, "feature_names_in_"):
                    del self.feature_names_in_
            elif x.shape[1] != self.n_features_in_:
                raise ShapeError(
                    f"X has {x.shape[1]} features, the fit expects {self.n_features_in_} features"
                )
            elif names is not None and not np.array_equal(
                names, getattr(self, "feature_names_in_", names)
            ):
                raise ShapeError("the columns have other names than those of fit, or another order")
            if outputs is None:
                return x
            if outputs.ndim not in (1, 2) or len(outputs) != len(x):
                raise ShapeError(f"y has shape {outputs.shape}, X has {len(x)} rows")
            return x, outputs

        def _need_fitted(self) -> None:
            if not hasattr(self, "coef_"):
                raise ArgumentError("this StepwiseRegression is not fitted yet; call fit first")

        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
            """Coefficient of determination, averaged over the outputs."""
            truth = np.asarray(y, dtype=np.float64)
            guess = self.predict(X)  # type: ignore[attr-defined]
            weight = np.ones(len(truth)) if sample_weight is None else np.asarray(sample_weight)
            center = np.average(truth, axis=0, weights=weight)
            rest = np.average((truth - guess) ** 2, axis=0, weights=weight)
            return float(
                np.mean(1 - rest / np.average((truth - center) ** 2, axis=0, weights=weight))
            )

        def fit_transform(self, X: Any, y: Any, **options: Any) -> Any:
            """Fit and keep the selected columns."""
            return self.fit(X, y, **options).transform(X)  # type: ignore[attr-defined]

        def get_support(self, indices: bool = False) -> Any:
            """Mask of the selected columns, or their positions."""
            self._need_fitted()
            mask = self.support_  # type: ignore[attr-defined]
            return np.flatnonzero(mask) if indices else mask

        def transform(self, X: Any) -> Any:
            """(n, k) the selected columns of X, in the order of X."""
            self._need_fitted()
            return self._data(X, reset=False)[:, self.get_support()]

        def get_feature_names_out(self, input_features: Any = None) -> Any:
            """Give the names of the selected columns."""
            self._need_fitted()
            names = getattr(self, "feature_names_in_", input_features)
            if names is None:
                names = [f"x{i}" for i in range(self.n_features_in_)]
            return np.asarray(names, dtype=object)[self.get_support()]
