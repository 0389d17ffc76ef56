"""Networks with all kinds of forwards that a graph can describe, on images (n, 2, 6, 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SEED = 20255
N = 12


class Written(nn.Module):
    """A forward of the user's own around some layers."""

    def __init__(self, forward: Callable[..., Tensor], **layers: Any) -> None:
        super().__init__()
        self.written = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.written(self, x)


def image_net(middle: Callable[..., Tensor], features: int, **layers: Any) -> nn.Module:
    """Images (n, 2, 6, 6) through a convolution, then ``middle``, then a linear layer."""

    def forward(self: Any, x: Tensor) -> Tensor:
        return self.head(torch.flatten(middle(self, self.stem(x)), 1))

    stem, head = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(features, 3)
    return Written(forward, stem=stem, head=head, **layers)


def flat_net(middle: Callable[..., Tensor], **layers: Any) -> nn.Module:
    """Flat inputs (n, 72) through a linear layer to 8, then ``middle``, then a linear layer."""

    def forward(self: Any, x: Tensor) -> Tensor:
        return self.head(middle(self, self.stem(x.reshape(x.size(0), -1))))

    return Written(forward, stem=nn.Linear(72, 8), head=nn.Linear(8, 3), **layers)


def batch_norm(make: Any, channels: int) -> nn.Module:
    norm: nn.Module = make(channels)
    with torch.no_grad():
        for tensor in (*norm.parameters(), norm.running_mean):
            tensor.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    return norm


class Block(nn.Module):
    """A residual block as torchvision writes it: in place, with batch norm and a short cut."""

    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
        self.bn1 = batch_norm(nn.BatchNorm2d, b)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(b, b, 3, padding=1, bias=False)
        self.bn2 = batch_norm(nn.BatchNorm2d, b)
        self.short = nn.Sequential(nn.Conv2d(a, b, 1, stride), batch_norm(nn.BatchNorm2d, b))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.short(x)
        return self.relu(out)


def shaped(x: Tensor) -> Tensor:
    assert x.shape[1] == 4
    return x if x.ndim == 4 else x.unsqueeze(1)


def behind_a_sum(self: Any, x: Tensor) -> Tensor:
    y = self.w(x)
    return (y + x) + y.tanh()


def tied() -> nn.Module:
    square, act = nn.Linear(8, 8), nn.Tanh()
    return flat_net(lambda _, x: act(square(act(square(x)))), square=square, act=act)


def weight_normed() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(72, 8)), nn.Linear(8, 3)
    )


CONSTANT = torch.linspace(0.5, 2, 8)
FOLLOWED: dict[str, Callable[[], nn.Module]] = {
    "sequential": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.GELU(), nn.Linear(8, 3)),
    "strided": lambda: image_net(
        lambda s, x: s.c(x), 6 * 9, c=nn.Conv2d(4, 6, 2, stride=2, groups=2, bias=False)
    ),
    "dilated": lambda: image_net(
        lambda s, x: s.c(x), 6 * 4, c=nn.Conv2d(4, 6, 3, dilation=2, stride=(1, 1))
    ),
    "same": lambda: image_net(
        lambda s, x: s.c(x), 6 * 36, c=nn.Conv2d(4, 6, 3, dilation=(1, 2), padding="same")
    ),
    "valid": lambda: image_net(lambda s, x: s.c(x), 6 * 16, c=nn.Conv2d(4, 6, 3, padding="valid")),
    "circular": lambda: image_net(
        lambda s, x: s.c(x), 6 * 36, c=nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular")
    ),
    "conv1d": lambda: image_net(
        lambda s, x: functional.max_pool1d(s.c(x.flatten(2)), 3), 5 * 11, c=nn.Conv1d(4, 5, 4)
    ),
    "conv3d": lambda: image_net(lambda s, x: s.c(x.unsqueeze(1)), 2 * 3 * 25, c=nn.Conv3d(1, 2, 2)),
    "batch norm": lambda: image_net(
        lambda s, x: functional.relu(s.b(x)), 144, b=batch_norm(nn.BatchNorm2d, 4)
    ),
    "batch norm 1d": lambda: flat_net(lambda s, x: s.b(x), b=batch_norm(nn.BatchNorm1d, 8)),
    "residual": lambda: image_net(lambda s, x: s.b(x).mean((2, 3)), 6, b=Block(4, 6, 2)),
    "max pool": lambda: image_net(lambda _, x: functional.max_pool2d(x, 3, 2, 1), 36),
    "ceil pool": lambda: image_net(
        lambda s, x: s.p(x), 36, p=nn.MaxPool2d(4, 2, ceil_mode=True, padding=1)
    ),
    "average pool": lambda: image_net(lambda _, x: functional.avg_pool2d(x, 2), 36),
    "adaptive pools": lambda: image_net(
        lambda s, x: s.m(x) + functional.adaptive_avg_pool2d(x, 2),
        16,
        m=nn.AdaptiveMaxPool2d(2),
    ),
    "padded": lambda: image_net(lambda s, x: s.p(x), 4 * 64, p=nn.ZeroPad2d(1)),
    "asked shapes": lambda: image_net(lambda _, x: shaped(x).view(len(x), -1), 144),
    "hard view": lambda: image_net(lambda _, x: x.view(-1, x.shape[1] * 36), 144),
    "dropout": lambda: flat_net(
        lambda s, x: functional.dropout(s.d(x), 0.3, s.training), d=nn.Dropout(0.5)
    ),
    "functional": lambda: flat_net(
        lambda s, x: torch.tanh(functional.silu(functional.linear(x, s.w.weight, s.w.bias))),
        w=nn.Linear(8, 8),
    ),
    "activations": lambda: flat_net(
        lambda s, x: (
            functional.elu(functional.softplus(functional.leaky_relu(x, 0.3), 2.0), 0.7)
            + functional.gelu(x, approximate="tanh").sigmoid()
            + functional.hardtanh(functional.relu6(s.p(x)), -0.3, 0.4)
        ),
        p=nn.PReLU(8),
    ),
    "arithmetic": lambda: flat_net(
        lambda _, x: (2 * x - x.relu() / 3 + torch.add(x, x.tanh(), alpha=-0.5) - 1) * 0.5 + (1 - x)
    ),
    "constants": lambda: flat_net(
        lambda s, x: (x - s.mean) / s.scale @ s.square,
        mean=nn.Buffer(CONSTANT.flip(0)),
        scale=nn.Buffer(CONSTANT[None]),
        square=nn.Buffer(torch.outer(CONSTANT, CONSTANT.cos())),
    ),
    "in place": lambda: flat_net(lambda _, x: x.mul_(2).add_(1).relu_().add_(x.tanh())),
    "cat": lambda: flat_net(lambda s, x: s.c(torch.cat((x, x.relu()), dim=-1)), c=nn.Linear(16, 8)),
    "transposed": lambda: image_net(lambda _, x: x.transpose(1, 2).permute(0, 3, 1, 2), 144),
    "reads twice": lambda: Written(
        lambda s, x: s.a(x.flatten(1)) + s.b(x.flatten(1).relu()),
        a=nn.Linear(72, 3),
        b=nn.Linear(72, 3),
    ),
    "read behind a sum": lambda: flat_net(behind_a_sum, w=nn.Linear(8, 8)),
    "tokens": lambda: image_net(
        lambda s, x: s.b(s.w(x.flatten(2))), 16, w=nn.Linear(36, 4), b=batch_norm(nn.BatchNorm1d, 4)
    ),
    "tied": tied,
    "weight norm": weight_normed,
    "unused head": lambda: flat_net(lambda s, x: (s.other(x), x)[1], other=nn.Linear(8, 5)),
}


def images() -> Tensor:
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(N, 2, 6, 6, generator=generator, dtype=torch.float64)
