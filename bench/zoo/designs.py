"""Small networks after well-known designs, all with normalisation, for the population of bench/zoo/soft.py."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


def convolved(
    before: int,
    after: int,
    size: int = 3,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: Activation | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution with BatchNorm and an activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
    ]
    return nn.Sequential(*layers, *([] if activation is None else [activation()]))


def pictures(*layers: nn.Module) -> nn.Sequential:
    """Layers on pictures (n, 28, 28) as one channel."""
    return nn.Sequential(nn.Unflatten(1, (1, 28)), *layers)


def averaged(channels: int, places: int = 1) -> tuple[nn.Module, ...]:
    """Mean over places x places parts of the picture, and ten logits."""
    head = nn.Linear(channels * places * places, 10)
    return nn.AdaptiveAvgPool2d(places), nn.Flatten(), head


class Shortcut(nn.Module):
    """A body beside an identity, and what follows their sum."""

    def __init__(self, body: nn.Module, after: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.after = body, nn.Identity() if after is None else after

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of ``x``."""
        mapped: Tensor = self.after(x + self.body(x))
        return mapped


class Joined(nn.Module):
    """A body whose channels are put beside those of its input (DenseNet)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """More channels than ``x`` has."""
        return torch.cat([x, self.body(x)], dim=1)


class Excited(nn.Module):
    """Channels weighted by what their means say (squeeze and excitation)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            *(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels // 4, 1), nn.ReLU()),
            *(nn.Conv2d(channels // 4, channels, 1), nn.Sigmoid()),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of ``x``."""
        weighed: Tensor = x * self.weigh(x)
        return weighed


class Transposed(nn.Module):
    """A perceptron across the places of a token sequence (n, places, width)."""

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(places, 32), nn.GELU(), nn.Linear(32, places))

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of ``x``."""
        mixed: Tensor = self.mix(self.norm(x).transpose(1, 2)).transpose(1, 2)
        return mixed


class Turned(nn.Module):
    """Channels and places change places: (n, a, b) to (n, b, a)."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, b, a)."""
        return x.transpose(1, 2)


def inverted() -> nn.Module:
    """Inverted residuals of MobileNetV2: expand three times, depthwise 3 x 3, project."""

    def step(before: int, after: int, stride: int) -> nn.Module:
        wide = 3 * before
        body = nn.Sequential(
            convolved(before, wide, 1, activation=nn.ReLU6),
            convolved(wide, wide, stride=stride, groups=wide, activation=nn.ReLU6),
            convolved(wide, after, 1, activation=None),
        )
        return Shortcut(body) if before == after and stride == 1 else body

    return pictures(
        convolved(1, 12, stride=2, activation=nn.ReLU6),
        *(step(12, 12, 1), step(12, 20, 2), step(20, 20, 1)),
        *averaged(20, 2),
    )


def grouped() -> nn.Module:
    """Residual blocks with grouped 3 x 3 convolutions (ResNeXt)."""

    def step(channels: int) -> nn.Module:
        body = nn.Sequential(
            *(convolved(channels, channels, 1), convolved(channels, channels, groups=4)),
            convolved(channels, channels, 1, activation=None),
        )
        return Shortcut(body, nn.ReLU())

    return pictures(
        *(convolved(1, 16, 5, stride=2), step(16)),
        *(convolved(16, 32, stride=2), step(32), step(32)),
        *averaged(32),
    )


def dense() -> nn.Module:
    """Two dense blocks of three 3 x 3 convolutions with eight channels each."""

    def step(before: int) -> nn.Module:
        body = nn.Sequential(
            nn.BatchNorm2d(before), nn.ReLU(), nn.Conv2d(before, 8, 3, padding=1, bias=False)
        )
        return Joined(body)

    return pictures(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        *(step(8), step(16), step(24)),
        *(convolved(32, 16, 1), nn.AvgPool2d(2)),
        *(step(16), step(24), nn.BatchNorm2d(32), nn.ReLU()),
        *averaged(32),
    )


def excited() -> nn.Module:
    """Residual blocks with squeeze and excitation."""

    def step(channels: int) -> nn.Module:
        body = nn.Sequential(
            *(convolved(channels, channels), convolved(channels, channels, activation=None)),
            Excited(channels),
        )
        return Shortcut(body, nn.ReLU())

    return pictures(
        *(convolved(1, 12, stride=2), step(12)),
        *(convolved(12, 24, stride=2), step(24)),
        *averaged(24),
    )


def stacked() -> nn.Module:
    """Five 3 x 3 convolutions in a row with BatchNorm and max pooling (VGG)."""
    return pictures(
        *(convolved(1, 8), nn.MaxPool2d(2), convolved(8, 16), convolved(16, 16), nn.MaxPool2d(2)),
        *(convolved(16, 32), convolved(32, 32), nn.MaxPool2d(2), nn.Flatten()),
        nn.Linear(288, 10),
    )


def perceptron() -> nn.Module:
    """Three hidden layers with BatchNorm and leaky ReLU."""
    layers: list[nn.Module] = []
    for before, after in ((784, 128), (128, 64), (64, 32)):
        layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.LeakyReLU(0.1)]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(32, 10))


def patched() -> nn.Module:
    """Patches of 4 x 4 and three depthwise 5 x 5 convolutions with GELU and BatchNorm (ConvMixer)."""

    def step(channels: int) -> nn.Module:
        around = nn.Sequential(
            *(nn.Conv2d(channels, channels, 5, padding=2, groups=channels), nn.GELU()),
            nn.BatchNorm2d(channels),
        )
        return nn.Sequential(Shortcut(around), convolved(channels, channels, 1, activation=nn.GELU))

    return pictures(
        *(nn.Conv2d(1, 32, 4, stride=4), nn.GELU(), nn.BatchNorm2d(32)),
        *(step(32), step(32), step(32)),
        *averaged(32),
    )


def mixer() -> nn.Module:
    """Patches of 4 x 4 and two layers of perceptrons across places and across channels (MLP-Mixer)."""
    width = 32

    def step() -> nn.Module:
        channels = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width)
        )
        return nn.Sequential(Shortcut(Transposed(49, width)), Shortcut(channels))

    return pictures(
        *(nn.Conv2d(1, width, 4, stride=4), nn.Flatten(2), Turned(), step(), step()),
        *(nn.LayerNorm(width), Turned(), nn.AdaptiveAvgPool1d(1), nn.Flatten()),
        nn.Linear(width, 10),
    )


DESIGNS = ("inverted", "grouped", "dense", "excited", "stacked", "perceptron", "patched", "mixer")
