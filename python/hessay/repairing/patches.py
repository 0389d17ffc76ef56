"""Modules that change the input before a model sees it, and folding one into the first layer."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from hessay.errors import ModelError, ShapeError
from hessay.hessian.model.evaluate import call


class Patched(nn.Module, ABC):
    """A model behind a repair of its input; ``state_dict`` holds both."""

    inner: nn.Module

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.train(inner.training)

    def forward(self, inputs: Tensor) -> Tensor:  # noqa: D102
        logits: Tensor = self.inner(self.repaired(inputs))
        return logits

    @abstractmethod
    def repaired(self, inputs: Tensor) -> Tensor:
        """Return the inputs as the model behind the patch sees them."""

    def _rows(self, inputs: Tensor, d: int) -> Tensor:
        rows = inputs.flatten(1)
        if rows.shape[1] != d:
            raise ShapeError(
                f"this repaired model takes inputs of {d} numbers, got {tuple(inputs.shape)}"
            )
        return rows


class ObliquePatch(Patched):
    """x - B F'(x - mu): takes the span of B out, through filters F with F'B = I."""

    basis: Tensor
    filters: Tensor
    centre: Tensor

    def __init__(self, inner: nn.Module, basis: Tensor, filters: Tensor, centre: Tensor) -> None:
        super().__init__(inner)
        self.register_buffer("basis", basis)  # (d, k), B
        self.register_buffer("filters", filters)  # (d, k), F
        self.register_buffer("centre", centre)  # (d,), mu, input units

    def repaired(self, inputs: Tensor) -> Tensor:  # noqa: D102
        rows = self._rows(inputs, len(self.centre))
        basis, filters = self.basis.to(rows), self.filters.to(rows)
        amount = (rows - self.centre.to(rows)) @ filters
        return (rows - amount @ basis.T).reshape(inputs.shape)


class MaskPatch(Patched):
    """Replaces some numbers of the input by their clean mean."""

    masked: Tensor
    centre: Tensor

    def __init__(self, inner: nn.Module, masked: Tensor, centre: Tensor) -> None:
        super().__init__(inner)
        self.register_buffer("masked", masked)  # (d,) bool
        self.register_buffer("centre", centre)  # (d,), input units

    def repaired(self, inputs: Tensor) -> Tensor:  # noqa: D102
        rows = self._rows(inputs, len(self.centre))
        return torch.where(self.masked, self.centre.to(rows), rows).reshape(inputs.shape)


def copy_of(model: nn.Module) -> nn.Module:
    """Copy a model, weights included.

    Raises
    ------
    ModelError
        Something in it cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:  # a module may hold anything
        raise ModelError(
            f"the model cannot be copied ({type(error).__name__}: {error}), and a repair never "
            "changes the original; remove hooks, handles and graphs from it"
        ) from error


def folded(patch: ObliquePatch, inputs: Tensor) -> nn.Module | None:
    """Put an oblique patch into the first layer: W <- W (I - B F'), b <- b + W B F' mu.

    Exact where a biased ``nn.Linear`` is all that reads the flattened input. Whether it is, the
    outputs say: the copy must agree with the patch on the inputs and on noise around them.

    Parameters
    ----------
    patch : ObliquePatch
        In eval mode, without gradients.
    inputs : (n, *shape) float tensor
        In the dtype and on the device of the model.

    Returns
    -------
    nn.Module or None
        None where the fold is not exact.
    """
    name = _reads_input(patch.inner, inputs)
    if name is None:
        return None
    model = copy_of(patch.inner)
    layer = model.get_submodule(name)
    if not isinstance(layer, nn.Linear):
        return None
    with torch.no_grad():
        weight = layer.weight.double()
        basis, filters, centre = (v.to(weight) for v in (patch.basis, patch.filters, patch.centre))
        removed = (weight @ basis) @ filters.T
        layer.weight.copy_(weight - removed)
        layer.bias.copy_(layer.bias.double() + removed @ centre)
        noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0))
        for points in (inputs, inputs + noise.to(inputs)):
            wanted, got = call(patch, points), call(model, points)
            # Sums of d products in another order: eps * sqrt(d) of the largest logit, with room.
            room = 100 * torch.finfo(wanted.dtype).eps * points[0].numel() ** 0.5
            if float((wanted - got).abs().max()) > room * max(1.0, float(wanted.abs().max())):
                return None
    return model


def _reads_input(model: nn.Module, inputs: Tensor) -> str | None:
    few = inputs[:8]
    found: list[str] = []
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module.bias is not None:

            def look(_: nn.Module, given: tuple[Tensor, ...], name: str = name) -> None:
                if given and torch.equal(given[0], few.flatten(1)):
                    found.append(name)

            handles.append(module.register_forward_pre_hook(look))
    try:
        with torch.no_grad():
            model(few.clone())
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if len(found) == 1 else None
