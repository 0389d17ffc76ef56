"""Hold a model still while it is differentiated, and give it back exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Eval mode, parameters without gradients, gradients enabled; everything is restored on exit.

    Attention runs on the backend that has a double backward. Nested use is fine.

    Examples
    --------
    >>> net = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2))
    >>> with frozen(net):
    ...     net.training, net[1].weight.requires_grad
    (False, False)
    >>> net.training, net[1].weight.requires_grad
    (True, True)
    """
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    # The attribute itself, not eval(): a module may override train() with effects of its own.
    for module, _ in modes:
        module.training = False
    for parameter, _ in flags:
        parameter.requires_grad_(False)
    try:
        with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            yield model
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
