"""Where in a model the derivative is taken: at its input, or at the output of an inner module.

A site holds the points (n, *shape) and runs the model from them. At the input that is a plain call.
Inside, the model is called with its own inputs while a temporary forward hook puts the points in
the place of what the module returned, so that all the rest of the forward pass (masks made from
token ids, skip connections around the module) is the model's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hessay.errors import ArgumentError, ModelError, NonFinite, ProbeError
from hessay.hessian.model.evaluate import call, chunk_rows, finite_logits
from hessay.hessian.model.noise import noisy_copies
from hessay.loading.probe_arrays import dtype_name

Forward = Callable[[Tensor], Tensor]
_COMPILED_PREFIX = "_orig_mod."  # torch.compile puts it before the names of a wrapped module


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """Points in a model, and the model from there to its logits. Frozen by the caller."""

    model: nn.Module
    inputs: Tensor  # (n, *input shape): what the model is called with
    values: Tensor  # (n * draws, *shape): the points, the draws of a sample one after another
    name: str  # "input", or the module's dotted name
    module: nn.Module | None = None  # None at the input
    draws: int = 1

    @property
    def n(self) -> int:
        """Samples; each has ``draws`` points."""
        return len(self.inputs)

    @property
    def d(self) -> int:
        """Coordinates of one point."""
        return self.values[0].numel()

    @property
    def place(self) -> str:
        """The site in words."""
        return "its input" if self.module is None else f"the output of {self.name!r}"

    def chunks(self, size: int | None = None) -> Iterator[tuple[Tensor, Forward]]:
        """Yield points (m, *shape) with the function that takes such points to logits (m, C)."""
        size = size or min(chunk_rows(self.values), chunk_rows(self.inputs))
        for first in range(0, len(self.values), size):
            rows = torch.arange(first, min(first + size, len(self.values)))
            yield self.values[first : first + size], self._forward(rows // self.draws)

    def logits(self) -> Tensor:
        """Logits (n * draws, C), float64 on the CPU.

        Raises
        ------
        ModelError, NonFinite
            The model raised, or its logits are not finite.
        """
        return finite_logits(
            self.model, lambda: (forward(values) for values, forward in self.chunks())
        )

    def reversed(self) -> Site:
        """Return the same site with its samples in the opposite order; clean sites only."""
        return replace(self, inputs=self.inputs.flip(0), values=self.values.flip(0))

    def around(self, noise: float, draws: int, seed: int) -> Site:
        """Return the site at points with Gaussian noise, ``draws`` of them for every sample."""
        copies = noisy_copies(self.values, noise, draws, seed)
        return replace(self, values=copies, draws=draws)

    def _forward(self, samples: Tensor) -> Forward:
        if self.module is None:
            return lambda values: call(self.model, values, one_output=True)
        inputs, module = self.inputs[samples.to(self.inputs.device)], self.module

        def forward(values: Tensor) -> Tensor:
            copy = values.clone()  # the layer after it may write into it
            with output_of(module, self.name, lambda _: copy, len(copy), copy.shape):
                return call(self.model, inputs, one_output=True)

        return forward


def site_of(model: nn.Module, inputs: Tensor, wrt: str, size: int | None = None) -> Site:
    """Find the place in a model, and the points there.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller.
    inputs : (n, *shape) float or integer tensor
        In the dtype and on the device of the model.
    wrt : "input" or the name of a module as in ``model.named_modules()``
    size : int, optional
        Inputs a pass.

    Raises
    ------
    ArgumentError
        No module of this name.
    ProbeError
        Integer inputs have no derivative.
    ModelError
        The module is not called in the forward pass, or more than once, or its output is not one
        float tensor (n, *shape).
    NonFinite
        Its output is NaN or Inf.
    """
    if wrt == "input":
        if not inputs.is_floating_point():
            raise ProbeError(_no_derivative(model, inputs))
        return Site(model, inputs, inputs, "input")
    module = module_named(model, wrt)
    found: list[Tensor] = []

    def keep(output: Tensor) -> None:
        found.append(output.detach().clone())  # the layer after it may write into it

    with torch.no_grad():
        for rows in torch.split(inputs, size or chunk_rows(inputs)):
            shape = torch.Size((len(rows), *found[0].shape[1:])) if found else None
            with output_of(module, wrt, keep, len(rows), shape):
                call(model, rows, one_output=True)
    values = torch.cat(found)
    bad = ~torch.isfinite(values.flatten(1)).all(dim=1)
    if bool(bad.any()):
        raise NonFinite(
            f"the output of {wrt!r} is NaN or Inf for {int(bad.sum())} of {len(bad)} probes, first "
            f"at probe {int(bad.nonzero()[0])}; check the weights and the scale of the inputs"
        )
    return Site(model, inputs, values, wrt, module)


@contextmanager
def output_of(
    module: nn.Module,
    name: str,
    use: Callable[[Tensor], Tensor | None],
    rows: int,
    shape: torch.Size | None = None,
) -> Iterator[None]:
    """Give the output of the module to ``use``, which may return another, during one pass.

    The output must have this many rows, and this shape where one is given.
    """
    calls = 0

    def hook(_module: nn.Module, _inputs: tuple[object, ...], output: object) -> Tensor | None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise ModelError(
                f"module {name!r} is called more than once in a forward pass, so that its output is "
                "not one place; choose a module that is called once"
            )
        return use(_one_float_tensor(name, output, rows, shape))

    # The last hook to run: it sees what the hooks of the user have made of the output.
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    if calls == 0:
        raise ModelError(
            f"module {name!r} is not called in the forward pass; choose one that is (a container "
            "whose children are used directly is not, and neither is a part of a scripted model)"
        )


def _one_float_tensor(name: str, output: object, rows: int, shape: torch.Size | None) -> Tensor:
    if not isinstance(output, Tensor) or not output.is_floating_point():
        got = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise ModelError(
            f"module {name!r} returns {got}, not one float tensor; choose a module that does"
        )
    found = output.shape
    # A second pass of fewer rows must find the same rows: an axis of equal length is told apart.
    fits = len(found) >= 2 and found[0] == rows and found[1:].numel() > 0
    if not fits or (shape is not None and found != shape):
        raise ModelError(
            f"module {name!r} returns shape {tuple(found)} for a batch of {rows}; choose a module "
            "whose output is (n, *shape), the sample axis first and the same shape in every batch"
        )
    return output


def module_named(model: nn.Module, wrt: str) -> nn.Module:
    """Find a module by its dotted name, with or without what torch.compile puts before it.

    Raises
    ------
    ArgumentError
        No module of this name.
    ModelError
        It is scripted.
    """
    modules: dict[str, nn.Module] = {
        name.replace(_COMPILED_PREFIX, ""): module
        for name, module in model.named_modules(remove_duplicate=False)
        if name
    }
    module = modules.get(wrt.replace(_COMPILED_PREFIX, ""))
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            f"module {wrt!r} is scripted, and its output cannot be replaced; pass the model it was "
            "made from"
        )
    if module is not None:
        return module
    close = difflib.get_close_matches(wrt, modules, n=3, cutoff=0.5) or list(modules)[:5]
    raise ArgumentError(
        f"wrt must be 'input' or the name of a module of the model, got {wrt!r}; "
        + (f"there are for example {', '.join(map(repr, close))}" if close else "it has none")
    )


def _no_derivative(model: nn.Module, inputs: Tensor) -> str:
    embeddings = [
        f"wrt={name!r} ({type(module).__name__})"
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and name
    ]
    use = f"pass {' or '.join(embeddings[:3])}" if embeddings else "name an inner module with wrt="
    return (
        f"inputs are {dtype_name(inputs.dtype)}, which have no derivative; if they are token ids "
        f"{use}, otherwise convert them to float32 in the scale the model was trained on"
    )
