"""Architectures of the examination's fourth draw alone: no constant was ever fitted to a network of these kinds."""

from __future__ import annotations

import itertools

import torch
from designs import Shortcut
from torch import Tensor, nn


class Pictures(nn.Sequential):
    """Layers on pictures (n, 28, 28) as one channel."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10)."""
        logits: Tensor = super().forward(inputs.reshape(-1, 1, 28, 28))
        return logits


class Scaled(nn.Module):
    """Channels (n, C, H, W) multiplied by weights that are learnt and start at 0.1 (layer scale)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of ``x``."""
        return self.weight * x


class Windows(nn.Module):
    """Attention within windows of 5 x 5 places, then among the 5 x 5 places that are left after merging (Swin)."""

    def __init__(self, width: int = 20) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 3, stride=3, padding=1)
        self.position = nn.Parameter(0.02 * torch.randn(10, 10, width))
        self.within = self._layer(width)
        self.merge = nn.Sequential(nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width))
        self.among = self._layer(2 * width)
        self.head = nn.Sequential(nn.LayerNorm(2 * width), nn.Linear(2 * width, 10))

    @staticmethod
    def _layer(width: int) -> nn.Module:
        return nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        places = self.embed(inputs.reshape(-1, 1, 28, 28)).permute(0, 2, 3, 1) + self.position
        n, width = len(places), places.shape[-1]
        windows = places.reshape(n, 2, 5, 2, 5, width).transpose(2, 3).reshape(4 * n, 25, width)
        places = self.within(windows).reshape(n, 2, 2, 5, 5, width).transpose(2, 3)
        merged = places.reshape(n, 5, 2, 5, 2, width).transpose(2, 3).reshape(n, 25, 4 * width)
        logits: Tensor = self.head(self.among(self.merge(merged)).mean(dim=1))
        return logits


def skipping() -> nn.Module:
    """Build a perceptron of three residual blocks of width 96 with ELU, without normalisation."""
    blocks = (
        Shortcut(nn.Sequential(nn.Linear(96, 96), nn.ELU(), nn.Linear(96, 96))) for _ in range(3)
    )
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 96), nn.ELU(), *blocks, nn.ELU(), nn.Linear(96, 10)
    )


def strided() -> nn.Module:
    """Build strided 3 x 3 convolutions of 16, 32 and 48 channels with GroupNorm and ELU, no pooling, no last linear layer."""
    layers = [
        layer
        for (a, b), stride in zip(
            itertools.pairwise((1, 16, 32, 32, 48)), (2, 1, 2, 2), strict=True
        )
        for layer in (nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.GroupNorm(8, b), nn.ELU())
    ]
    return Pictures(*layers, nn.Conv2d(48, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def next_blocks() -> nn.Module:
    """Build residual blocks of ConvNeXt: depthwise 7 x 7, one-group norm, expansion with GELU, layer scale."""

    def block(width: int) -> nn.Module:
        body = (
            nn.Conv2d(width, width, 7, padding=3, groups=width),
            nn.GroupNorm(1, width),
            *(nn.Conv2d(width, 3 * width, 1), nn.GELU(), nn.Conv2d(3 * width, width, 1)),
            Scaled(width),
        )
        return Shortcut(nn.Sequential(*body))

    return Pictures(
        *(nn.Conv2d(1, 16, 4, stride=4), nn.GroupNorm(1, 16), block(16), block(16)),
        *(nn.GroupNorm(1, 16), nn.Conv2d(16, 32, 2, stride=2), block(32), block(32)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(32), nn.Linear(32, 10)),
    )


def windows() -> nn.Module:
    """Build the transformer of two stages with attention in windows."""
    return Windows()
