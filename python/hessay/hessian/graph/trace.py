"""From an nn.Module to its graph: run it once on a few inputs and write down what torch is asked.

Every call of torch on a value that depends on the input is translated, or gives the reason why
there is no graph. Shapes and lengths are real while it runs, numbers are not to be had: a forward
that looks at them is not followed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hessay.hessian.graph.calls import name_of, translate
from hessay.hessian.graph.layers import Unknown, Value
from hessay.hessian.graph.operations import Graph, Operation, evaluated, pruned

_FEW = 16  # inputs the graph is checked on
# What a forward may ask without looking at the numbers.
_QUESTIONS = {
    *("shape", "ndim", "dtype", "device", "requires_grad", "is_cuda", "layout", "is_sparse"),
    *("size", "dim", "len", "numel", "nelement", "ndimension", "stride", "is_contiguous"),
    *("is_floating_point", "is_complex", "get_device", "is_quantized", "is_meta", "is_mps"),
}


def trace(model: nn.Module, inputs: Tensor, *, up_to_shift: bool = False) -> Graph | str:
    """Describe a network as a graph.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller. It is called on a few inputs; attributes it sets are put back.
    inputs : (n, *shape) float32 or float64 tensor, n > 0
        The probe. The graph is accepted only if it reproduces the model's logits on a few of
        them, in a batch of another size than it was traced with.
    up_to_shift : bool
        Nobody asks what is added to all logits of a sample, as cross-entropy does not: a closing
        log_softmax, which is just that, is left out.

    Returns
    -------
    Graph or str
        The graph, its weights shared with the model, or in plain words why there is none.
    """
    if inputs.dtype not in (torch.float32, torch.float64):
        return f"the model computes in {inputs.dtype}"
    if _has_hooks(model):
        return "it has hooks"
    with _attributes_kept(model):
        few = inputs[:_FEW].detach()
        recorder = _Recorder(few[: max(1, min(5, len(few) - 1))], up_to_shift)
        try:
            with torch.enable_grad(), recorder, warnings.catch_warnings():
                # A forward that looks at values is warned that the inputs ask for a gradient here.
                warnings.simplefilter("ignore")
                logits = _with_classes(model(recorder.inputs))
        except Exception as error:  # noqa: BLE001 - whatever it is, the reason says it
            return f"its forward cannot be followed: {_first_line(error)}"
        operations = recorder.operations_of(logits)
        if isinstance(operations, str):
            return operations
        try:
            with torch.no_grad():
                truth = _with_classes(model(few.clone()))
                values = evaluated(operations, few)
        except RuntimeError as error:
            return f"its forward depends on the size of the batch: {_first_line(error)}"
    copied = values[-1]
    if up_to_shift and copied.shape == truth.shape:
        copied, truth = (z - z.mean(dim=1, keepdim=True) for z in (copied, truth))
    # Two orders of summation: rounding of the dtype times a modest factor for depth and width.
    allowed = 1e4 * torch.finfo(few.dtype).eps * max(1.0, float(truth.abs().max()))
    if copied.shape != truth.shape or not float((copied - truth).abs().max()) <= allowed:
        return "its forward does something its operations do not say"
    return Graph(operations, tuple(tuple(value.shape[1:]) for value in values))


class _Recorder(TorchFunctionMode):
    """Writes down the torch calls of one forward pass."""

    def __init__(self, inputs: Tensor, up_to_shift: bool) -> None:
        super().__init__()
        self._up_to_shift = up_to_shift
        self._closing: set[int] = set()  # log-probabilities that stand for their logits
        # Not a leaf, so that a first layer may work in place; the gradient shows up whatever
        # depends on the input without having passed through here.
        self.inputs = inputs.clone().requires_grad_(True).clone()
        self.operations: list[Operation] = []
        self.reason: str | None = None
        self._values: dict[int, Value] = {id(self.inputs): Value(0, self.inputs)}
        self._kept: list[Tensor] = [self.inputs]  # alive, so that no id is given out again
        self._stale: set[int] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.reason is None:
            try:
                self._record(func, args, kwargs, result)
            except Unknown as unknown:
                self.reason = str(unknown)
        return result

    def operations_of(self, logits: object) -> tuple[Operation, ...] | str:
        """Return the operations the logits depend on, or why there are none."""
        if self.reason is not None:
            return self.reason
        value = self._values.get(id(logits))
        if value is None or id(logits) in self._stale:
            return "its logits do not come from operations that can be followed"
        if value.tensor.ndim != 2:
            return f"its logits have the shape {tuple(value.tensor.shape)}"
        return pruned(self.operations, value.number)[0]

    def _record(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        tensors = list(_tensors((args, kwargs)))
        if not any(id(t) in self._values for t in tensors):
            return
        name = name_of(func)
        if name in _QUESTIONS:
            return
        if any(id(t) in self._closing for t in tensors):
            raise Unknown("log_softmax is in the graph at its end only")
        if any(id(t) in self._stale for t in tensors):
            raise Unknown("an in-place operation changes a value that is read again")
        if any(id(t) not in self._values and t.requires_grad for t in tensors):
            raise Unknown("an autograd function of its own is not in the graph")
        if not torch.is_grad_enabled():
            raise Unknown(f"{name} runs without gradients")
        if not isinstance(result, Tensor):
            raise Unknown(f"{name} is not in the graph")
        wrapped_args, wrapped_kwargs = self._wrapped(args), self._wrapped(kwargs)
        if name == "log_softmax" and self._up_to_shift and _over_classes(args, kwargs):
            self._closing.add(id(result))
            self._values[id(result)] = Value(wrapped_args[0].number, result)
            self._kept.append(result)
            return
        number = translate(name, wrapped_args, dict(wrapped_kwargs), result, self._emit)
        if result.dtype != self.inputs.dtype or result.shape[:1] != self.inputs.shape[:1]:
            raise Unknown(f"{name} gives {result.dtype} of shape {tuple(result.shape)}")
        if any(result is t for t in tensors):
            self._overwritten(result, number)
        self._values[id(result)] = Value(number, result)
        self._kept.append(result)

    def _emit(self, operation: Operation) -> int:
        self.operations.append(operation)
        return len(self.operations)

    def _wrapped(self, tree: Any) -> Any:
        if isinstance(tree, Tensor):
            return self._values.get(id(tree), tree)
        if type(tree) in (tuple, list):
            return type(tree)(self._wrapped(item) for item in tree)
        if isinstance(tree, dict):
            return {key: self._wrapped(item) for key, item in tree.items()}
        return tree

    def _overwritten(self, written: Tensor, number: int) -> None:
        """Note that every other name of this memory now holds numbers computed elsewhere."""
        before = self._values.get(id(written))
        if before is None:
            raise Unknown("an in-place operation writes into a constant")
        if before.number == number:  # nothing was written: dropout in eval mode, contiguous()
            return
        place = written.untyped_storage().data_ptr()
        for other in self._kept:
            if other is not written and other.untyped_storage().data_ptr() == place:
                self._stale.add(id(other))


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        yield from _tensors(tuple(tree.values()))
    elif isinstance(tree, tuple | list):
        for item in tree:
            yield from _tensors(item)


def _over_classes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the call is log_softmax(logits (n, C), over the classes), its precision untouched."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return len(args) > 0 and args[0].ndim == 2 and dim in (1, -1) and kwargs.get("dtype") is None


def _with_classes(logits: Any) -> Any:
    """Give one output a sample, (n,), an axis of its own, as the losses do."""
    return logits.unsqueeze(1) if isinstance(logits, Tensor) and logits.ndim == 1 else logits


def _has_hooks(model: nn.Module) -> bool:
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    everywhere: bool = nn.modules.module._has_any_global_hook()  # type: ignore[no-untyped-call]
    return everywhere or any(getattr(m, name) for m in model.modules() for name in names)


@contextmanager
def _attributes_kept(model: nn.Module) -> Iterator[None]:
    """Put back what a forward stores on its modules."""
    kept = [(vars(module), dict(vars(module))) for module in model.modules()]
    try:
        yield
    finally:
        for attributes, before in kept:
            if attributes.keys() != before.keys() or any(
                attributes[key] is not value for key, value in before.items()
            ):
                attributes.clear()
                attributes.update(before)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0][:200]}"
