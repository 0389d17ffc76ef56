"""A second device where there is none: tensors that say they are on CUDA and are computed here.

Whoever mixes them with tensors of the processor, or hands one to NumPy, meets an error as on a real device. Their
numbers are those of the processor, bit for bit. What is C++ in torch takes them for tensors of the processor: a
move in Python is seen, one inside an operator is not.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

THERE = torch.device("cuda", 0)
_aten = torch.ops.aten
# Positions may lie on the processor.
_POSITIONS = {
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
}


class There(Tensor):
    """A tensor that is said to be on the device."""

    here: Tensor
    device = property(lambda _: THERE)  # type: ignore[assignment]
    is_cuda = property(lambda _: True)  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, here: Tensor) -> Any:
        made: Any = Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            layout=here.layout,
        )
        made.here = here
        return made

    def __repr__(self, **_: Any) -> str:
        return f"There({self.here!r})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            if func is Tensor.numpy:
                raise TypeError("can't convert cuda:0 device type tensor to numpy")
            if func.__name__ == "one_hot":  # counts up on the device it takes its input to be on
                return There(func(args[0].here, *args[1:], **kwargs))
            if func is Tensor.tolist:
                return args[0].here.tolist()
            if func in (Tensor.cpu, Tensor.cuda, Tensor.to):
                return _to(func, *args, **kwargs)
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Calls that name the device and are given no tensor of it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Move(torch.autograd.Function):
    """From one side to the other; gradients go the way back."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        context.back = isinstance(tensor, There)
        return tensor.here.clone() if isinstance(tensor, There) else There(tensor.clone())

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        back: Tensor = _Move.apply(gradient)
        return back


def _to(func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """``Tensor.to``, ``cpu`` and ``cuda`` between the two sides."""
    if func is not Tensor.to:
        device: torch.device | None = THERE if func is Tensor.cuda else torch.device("cpu")
        dtype = None
    elif args and isinstance(args[0], Tensor):
        device, dtype = args[0].device, args[0].dtype
    else:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)  # type: ignore[attr-defined]
    if device is not None and (device.type == "cuda") != isinstance(tensor, There):
        tensor = _Move.apply(tensor)  # type: ignore[no-untyped-call]
    return tensor if dtype is None else Tensor.to(tensor, dtype)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
    there = [t for t in tensors if isinstance(t, There)]
    wanted = kwargs.get("device")
    at_target = bool(there)
    if wanted is not None and torch.device(wanted).type == "cuda":
        kwargs, at_target = {**kwargs, "device": torch.device("cpu")}, True
    if func is _aten.copy_.default:
        at_target = isinstance(tensors[0], There)
    elif there:
        _require_together(func, tensors)
    inner_args, inner_kwargs = tree_map(
        lambda t: t.here if isinstance(t, There) else t, (args, kwargs)
    )
    out = func(*inner_args, **inner_kwargs)
    if not at_target:
        return out
    wrapped = tree_map(lambda t: There(t) if isinstance(t, Tensor) else t, out)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if there else wrapped


def _require_together(func: Any, tensors: list[Tensor]) -> None:
    if func in _POSITIONS and isinstance(tensors[0], There):
        return
    if any(not isinstance(t, There) and t.ndim > 0 for t in tensors):
        kinds = ", ".join(f"{t.device}{tuple(t.shape)}" for t in tensors)
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, got {kinds}")


def moved(model: nn.Module) -> nn.Module:
    """Copy a model to the device that is none."""
    own = copy.deepcopy(model)
    for module in own.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                there = There(parameter.detach())
                module._parameters[name] = nn.Parameter(there, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else There(buffer)
    return own


@contextmanager
def pretended() -> Iterator[None]:
    """Let ``.to("cuda")`` and ``device="cuda"`` give such tensors."""
    before = torch.cuda._lazy_init
    torch.cuda._lazy_init = lambda: None
    try:
        with _Factories():
            yield
    finally:
        torch.cuda._lazy_init = before
