"""Architectures of the examination alone: no constant was ever chosen on a network of these kinds."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LeNet(nn.Module):
    """Two 5 x 5 convolutions with tanh and average pooling, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
            *(nn.Linear(400, 84), nn.Tanh(), nn.Linear(84, 10)),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        logits: Tensor = self.layers(inputs.reshape(-1, 1, 28, 28))
        return logits


class Block(nn.Module):
    """Two convolutions with BatchNorm and a skip connection that may halve the picture."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.skip = nn.Conv2d(before, after, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (n, after, H / stride, W / stride)."""
        return torch.relu(self.body(x) + self.skip(x))


class Pyramid(nn.Module):
    """Three residual blocks of 8, 16 and 32 channels, each halving the picture, then an average."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(Block(1, 8, 2), Block(8, 16, 2), Block(16, 32, 2)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        logits: Tensor = self.layers(inputs.reshape(-1, 1, 28, 28))
        return logits


class Vision(nn.Module):
    """49 patches of 4 x 4 and a class token, width 24, two post-norm transformer layers with ReLU."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.embed = nn.Linear(16, width)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(50, width))
        layer = nn.TransformerEncoderLayer(width, 3, 2 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        patches = inputs.reshape(-1, 7, 4, 7, 4).transpose(2, 3).reshape(-1, 49, 16)
        tokens = torch.cat([self.token.expand(len(patches), -1, -1), self.embed(patches)], dim=1)
        return self.head(self.encoder(tokens + self.position)[:, 0])


def lenet() -> nn.Module:
    """Build the LeNet."""
    return LeNet()


def pyramid() -> nn.Module:
    """Build the residual pyramid."""
    return Pyramid()


def vision() -> nn.Module:
    """Build the vision transformer."""
    return Vision()
