"""The changes of the input that lead into suspicious classes, and that a patch has to make harmless."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessay.hessian.moves import warped

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Shifts of the input's numbers, and warps where the inputs are pictures."""

    shifts: Matrix  # (m, d), input units
    warps: Matrix  # (w, p): parameters of hessay.hessian.moves.SmoothWarp; p = 0 without

    @staticmethod
    def of_shifts(shifts: Matrix) -> Steps:
        """Take shifts alone."""
        return Steps(shifts, np.zeros((0, 0)))

    def and_more(self, others: Steps) -> Steps:
        """Put those of others behind these."""
        warps = [part for part in (self.warps, others.warps) if len(part)]
        return Steps(
            np.vstack([self.shifts, others.shifts]), np.vstack(warps) if warps else self.warps
        )

    def moves(self, bounds: tuple[float, float]) -> list[Callable[[Tensor], Tensor]]:
        """Each as a function of inputs (n, *shape); what shifts make is clipped to ``bounds``."""

        def shift(row: Matrix) -> Callable[[Tensor], Tensor]:
            def apply(inputs: Tensor) -> Tensor:
                step = torch.from_numpy(row).to(inputs).reshape(inputs.shape[1:])
                return (inputs + step).clamp(*bounds)

            return apply

        def bend(row: Matrix) -> Callable[[Tensor], Tensor]:
            return lambda inputs: warped(inputs, row)

        return [*(shift(row) for row in self.shifts), *(bend(row) for row in self.warps)]
