"""What the estimator does with an X on a CUDA device, where scikit-learn's checks cannot look."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessay.errors import ArgumentError, ShapeError
from hessay.stepwise.design import on_host
from hessay.stepwise.rows import FittedRows


def checked_tensor(estimator: Any, x: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
    """Check shapes and take over the number of columns; give X where it lies, and y on the processor.

    Raises
    ------
    ShapeError
        Not (n, p), another p than that of the fit, or another n than that of y.
    """
    outputs = np.asarray(on_host(y), dtype=np.float64)
    if x.ndim != 2:
        raise ShapeError(f"X must have shape (n, p), got {tuple(x.shape)}; pass two axes")
    if outputs.ndim not in (1, 2) or len(outputs) != len(x):
        raise ShapeError(f"y has shape {outputs.shape}, X has {len(x)} rows")
    if reset:
        estimator.n_features_in_ = int(x.shape[1])
        vars(estimator).pop("feature_names_in_", None)
    elif x.shape[1] != estimator.n_features_in_:
        raise ShapeError(
            f"X has {x.shape[1]} features, the fit expects {estimator.n_features_in_} features"
        )
    return x, outputs


def refuse_out_of_sample(criterion: str, x: Any) -> None:
    """Raise ArgumentError: this criterion does not read X on a device."""
    raise ArgumentError(
        f"criterion={criterion!r} fits parts of X again and again on the processor, and X is on "
        f"{x.device}; pass X.cpu().numpy(), or take one of the other criteria"
    )


def fitted_tensor(x: Any, y: Any, *, support: Any, **options: Any) -> FittedRows:
    """Fit the chosen columns, which alone are copied to the processor."""
    return FittedRows(_chosen(x, support), y, **options).among(support, int(x.shape[1]))


def predicted_tensor(estimator: Any, x: Any) -> Any:
    """(n,) or (n, C) fitted values of rows (n, p), on the processor."""
    x, _ = checked_tensor(estimator, x, np.zeros(len(x)), reset=False)
    coef = estimator.coef_[..., estimator.order_]
    return _chosen(x, estimator.order_) @ coef.T + estimator.intercept_


def _chosen(x: Any, columns: Any) -> Any:
    return on_host(x[:, [int(j) for j in columns]].double())
