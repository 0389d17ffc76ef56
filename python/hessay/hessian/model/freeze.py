"""Hold a model still while it is differentiated, and give it back exactly as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from hessay.errors import ModelError
from hessay.hessian.model.precision import full_precision
from hessay.loading import require_module


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Eval mode, parameters without gradients, gradients enabled; everything is restored on exit.

    Everything: also the buffers and attributes a forward pass may have written. Attention runs on
    the backend that has a double backward, compiled modules run as they were written, and single
    precision is not rounded to TF32. Nested use is fine.

    Raises
    ------
    ModelError
        No ``nn.Module``; or a part of it is compiled, and this torch cannot run it uncompiled.

    Examples
    --------
    >>> net = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2))
    >>> with frozen(net):
    ...     net.training, net[1].weight.requires_grad
    (False, False)
    >>> net.training, net[1].weight.requires_grad
    (True, True)
    """
    require_module(model)
    # Weights made in inference mode take no part in gradients, and cannot be told so.
    flags = [(p, p.requires_grad) for p in model.parameters() if not p.is_inference()]
    with ExitStack() as undo, torch.inference_mode(False), torch.enable_grad():
        for module in model.modules():
            undo.callback(_restorer(module))
            # The attribute itself, not eval(): a module may override train() with effects of its
            # own. Frozen scripts have no mode.
            if hasattr(module, "training"):
                undo.callback(setattr, module, "training", module.training)
                module.training = False
        for parameter, flag in flags:
            undo.callback(parameter.requires_grad_, flag)
            parameter.requires_grad_(False)
        undo.enter_context(_uncompiled(model))
        # The fast path of nn.TransformerEncoder has no gradient, and other numbers at padding.
        undo.callback(
            torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled()
        )
        torch.backends.mha.set_fastpath_enabled(False)
        undo.enter_context(sdpa_kernel(SDPBackend.MATH))
        undo.enter_context(full_precision())
        yield model


def _restorer(module: nn.Module) -> Callable[[], None]:
    """Remember attributes and buffers of one module, not of its children; undo what changed."""
    if isinstance(module, torch.jit.ScriptModule):
        return lambda: None  # keeps its state out of Python's reach
    attributes = dict(module.__dict__)
    buffers = {
        name: (buffer, None if buffer is None else buffer.detach().clone())
        for name, buffer in module._buffers.items()
    }

    def restore() -> None:
        for name in set(module.__dict__) - set(attributes):
            del module.__dict__[name]
        module.__dict__.update(attributes)
        module._buffers.clear()
        for name, (buffer, content) in buffers.items():
            module._buffers[name] = buffer
            if buffer is not None and content is not None and not torch.equal(buffer, content):
                with torch.no_grad(), torch.inference_mode(buffer.is_inference()):
                    buffer.copy_(content)

    return restore


@contextmanager
def _uncompiled(model: nn.Module) -> Iterator[None]:
    compiled = any(
        type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None)
        for module in model.modules()
    )
    if not compiled:
        yield
        return
    if not hasattr(torch.compiler, "set_stance"):
        raise ModelError(
            f"a part of the model is compiled, which torch {torch.__version__} cannot switch off; "
            "pass the model before torch.compile"
        )
    with torch.compiler.set_stance("force_eager"):
        yield
