"""What a stepwise selection found, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One move of a path, and the model after it."""

    action: Literal["add", "drop"]
    columns: tuple[int, ...]  # that moved, positions in X
    rss: float  # residual sum of squares (ridge penalty included), summed over outputs, y^2
    rss_outputs: Array  # (C,) the same, output by output
    delta_rss: float  # fall by an addition, rise by a removal, >= 0, y^2
    criterion: float  # of the model after the move; NaN without a criterion
    p_value: float  # exact F or Hotelling test of this one move, not corrected for choosing
    n_features: int  # columns in the model after the move
    condition: float  # root of its largest variance inflation factor, >= 1


@dataclass(frozen=True, slots=True)
class PathStats:
    """What a path cost."""

    passes: int  # over all of X
    prefetch_hits: int  # columns whose products were there already
    prefetch_misses: int  # columns that cost a pass
    fetched: int  # columns of the Gram matrix computed
    refreshes: int  # columns and residuals recomputed from the data against cancellation
    strategy: str  # "gram", "prefetch" or "stream": how products were got in the end
    seconds: float  # wall clock


@dataclass(frozen=True, slots=True, eq=False)
class StepwisePath:
    """A stepwise path and the model it ends in."""

    steps: tuple[Step, ...]
    support: NDArray[np.intp]  # (k,) columns of the final model, in order of entry
    coef: Array  # (k,) or (C, k), in the order of support, y / x
    intercept: float | Array  # () or (C,), y; 0 when none was fitted
    rss: float  # of the final model, recomputed from the data, penalty included, y^2
    tss: float  # of y about its mean (about 0 without an intercept), y^2
    n_rows: int
    n_outputs: int
    criterion: str | None  # its name
    stopped: str  # why the path ended
    collinear: tuple[
        int, ...
    ]  # candidates refused: the final model (or the intercept) determines them
    stats: PathStats
