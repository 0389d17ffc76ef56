"""A model from the output of one of its modules on, as a module of its own."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.errors import ModelError, ProbeError
from hessay.hessian.model.evaluate import call, like_model, logits_of
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.site import module_named, output_of, site_of


class FromModule(nn.Module):
    """What follows one module of a model: its output (n, *shape) in, logits (n, C) out.

    The model is called with one and the same input for every row, while the rows take the place of
    what the module returned.
    """

    def __init__(self, model: nn.Module, name: str, first: Tensor) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.start = module_named(model, name)
        self.register_buffer("first", first, persistent=False)
        self.first: Tensor
        self.training = model.training  # of this module alone: those inside keep theirs

    def forward(self, values: Tensor) -> Tensor:
        """Logits (n, C) of the module's outputs (n, *shape)."""
        rows = len(values)
        inputs = self.first.expand(rows, *self.first.shape[1:])
        with output_of(self.start, self.name, lambda _: values, rows):
            return call(self.model, inputs)

    def nearest_items(
        self, direction: NDArray[np.float64], values: Tensor, count: int
    ) -> tuple[list[int], list[float]]:
        """Items of an embedding whose vectors lie in a direction, seen from the usual ones.

        Parameters
        ----------
        direction : (d,) float64
            In the space of the module's outputs, its last axis the embedding's.
        values : (n, *shape)
            Outputs on clean inputs.
        count : int, >= 1

        Returns
        -------
        items, cosines
            Of the ``count`` items with the largest cosine at any position, weighted by how much of
            the direction lies there; both empty where the module is no embedding.
        """
        if not isinstance(self.start, nn.Embedding):
            return [], []
        vectors = self.start.weight.detach().double().cpu().numpy()
        usual = (
            values.double().cpu().numpy().reshape(len(values), -1, vectors.shape[1]).mean(axis=0)
        )
        parts = direction.reshape(-1, vectors.shape[1])
        best = np.full(len(vectors), -np.inf)
        for here, part in zip(usual, parts, strict=True):
            away = vectors - here
            lengths = np.maximum(np.linalg.norm(away, axis=1), np.finfo(np.float64).tiny)
            best = np.maximum(best, away @ part / lengths)
        order = np.argsort(-best)[:count]
        return order.tolist(), best[order].tolist()


def from_module(model: nn.Module, inputs: Tensor, name: str) -> tuple[FromModule, Tensor]:
    """Cut a model at the output of one of its modules.

    Parameters
    ----------
    model : nn.Module
        Left as it was.
    inputs : (n, *shape) float or integer tensor
        What the model is called with.
    name : str
        As in ``model.named_modules()``.

    Returns
    -------
    FromModule, (n, *inner shape) tensor
        The rest of the model, and what the module returns for ``inputs``.

    Raises
    ------
    ArgumentError
        No module of this name.
    ModelError
        The module is not called exactly once, or returns something else than one float tensor.
    ProbeError
        The rest of the model looks at the inputs in another way too (a padding mask, a skip
        connection around the module), and they differ in it.
    NonFinite
        Its output is NaN or Inf.
    """
    with frozen(model):
        inputs = like_model(model, inputs)
        site = site_of(model, inputs, name)
        whole = logits_of(model, inputs)
        inner = FromModule(model, name, inputs[:1].clone())
        try:
            cut = logits_of(inner, site.values)
        except ModelError as error:
            raise ModelError(f"the model cannot be run from {name!r} on: {error}") from error
        scale = float(whole.abs().max())
        off = (whole - cut).abs().amax(dim=1) > 1e-3 * max(scale, torch.finfo(torch.float32).tiny)
    if bool(off.any()):
        raise ProbeError(
            f"what follows {name!r} looks at the input in another way too (a padding mask, or a "
            f"connection around the module), and {int(off.sum())} of {len(off)} probes differ from the "
            "first one there; give probes that agree in it, for example of one length"
        )
    return inner, site.values
