"""Penultimate representations: what the last linear layer of a network sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hessay.errors import ModelError, NonFinite
from hessay.hessian.model.evaluate import call, chunk_rows, like_model


@dataclass(frozen=True, slots=True, eq=False)
class Representations:
    """What the last linear layer saw of each input, and what it made of it."""

    values: Tensor  # (n, h) float, on the CPU, in the model's dtype
    logits: Tensor  # (n, C), likewise

    @property
    def n_classes(self) -> int:
        """C."""
        return int(self.logits.shape[1])

    def of_each_class(
        self, targets: Tensor
    ) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.float64]]]:
        """Yield every class 0 .. C - 1 with its rows (m,) and their values (m, h); m may be 0."""
        labels = targets.cpu().numpy()
        for c in range(self.n_classes):
            rows = np.flatnonzero(labels == c)
            yield c, rows, self.values[torch.from_numpy(rows)].double().numpy()


class _LastLinear(TorchFunctionMode):
    """Remembers input and output of the linear map that ran last, module or plain function."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: tuple[Tensor, Tensor] | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func is nn.functional.linear:
            self.seen = (args[0] if args else kwargs["input"], out)
        return out


def representations(model: nn.Module, inputs: Tensor) -> Representations:
    """Run the model and keep what its last linear layer was given.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller. For a network that is one linear layer, the representation is the
        input itself.
    inputs : (n, *shape) tensor

    Returns
    -------
    Representations

    Raises
    ------
    ModelError
        The model raised, no linear layer runs in it, or the last one to run does not make the
        logits.
    NonFinite
        A representation is NaN or Inf.
    """
    inputs = like_model(model, inputs)
    found, answers = [], []
    with torch.no_grad():
        for rows in torch.split(inputs, chunk_rows(inputs)):
            with _LastLinear() as last:
                logits = call(model, rows)
            found.append(_checked(last.seen, logits).cpu())
            answers.append(logits.detach().cpu())
    values = torch.cat(found)
    bad = ~torch.isfinite(values).all(dim=1)
    if bool(bad.any()):
        raise NonFinite(
            f"what the last linear layer is given is NaN or Inf for {int(bad.sum())} of {len(bad)} "
            f"inputs, first for input {int(bad.nonzero()[0])}; check the weights and the scale of "
            "the inputs"
        )
    return Representations(values, torch.cat(answers))


def _checked(seen: tuple[Tensor, Tensor] | None, logits: Tensor) -> Tensor:
    if seen is None:
        raise ModelError(
            "no linear layer (nn.Linear or torch.nn.functional.linear) runs in this model, so it "
            "has no penultimate representation; end it in one, or unwrap a scripted model"
        )
    given, made = seen
    if made.shape != logits.shape or given.ndim != 2:
        raise ModelError(
            f"the last linear layer to run maps {tuple(given.shape)} to {tuple(made.shape)}, but "
            f"the logits are {tuple(logits.shape)}; the penultimate representation is defined for "
            "a network that ends in one linear layer on one vector a sample"
        )
    return given.detach()
