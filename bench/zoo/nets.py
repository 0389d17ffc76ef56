"""Networks of other kinds for the tuning population: normalisation, skip connections, attention."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


class ConvNorm(nn.Module):
    """Three convolutions of 8, 16 and 32 channels, each with BatchNorm, ReLU and max pooling."""

    def __init__(self) -> None:
        super().__init__()
        channels = (1, 8, 16, 32)
        self.layers = nn.Sequential(
            *(
                layer
                for a, b in itertools.pairwise(channels)
                for layer in (
                    nn.Conv2d(a, b, 3, padding=1),
                    nn.BatchNorm2d(b),
                    nn.ReLU(),
                    nn.MaxPool2d(2),
                )
            ),
            nn.Flatten(),
            nn.Linear(32 * 9, 10),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        logits: Tensor = self.layers(inputs.reshape(-1, 1, 28, 28))
        return logits


class Residual(nn.Module):
    """Strided stem, two residual blocks of 12 channels with BatchNorm, average pooling, linear."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(4))
        self.head = nn.Linear(width * 49, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        x = torch.relu(self.norm(self.stem(inputs.reshape(-1, 1, 28, 28))))
        for i in (0, 2):
            y = torch.relu(self.norms[i](self.convolutions[i](x)))
            x = torch.relu(x + self.norms[i + 1](self.convolutions[i + 1](y)))
        return self.head(nn.functional.avg_pool2d(x, 2).flatten(1))


class Attention(nn.Module):
    """16 patches of 7 x 7, width 32, two pre-norm transformer layers with GELU, mean pooling."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Linear(49, width)
        self.position = nn.Parameter(0.02 * torch.randn(16, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        patches = inputs.reshape(-1, 4, 7, 4, 7).transpose(2, 3).reshape(-1, 16, 49)
        return self.head(self.encoder(self.embed(patches) + self.position).mean(dim=1))


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


def conv_norm() -> nn.Module:
    """Build the convolutional net with BatchNorm."""
    return ConvNorm()


def residual() -> nn.Module:
    """Build the residual net."""
    return Residual()


def attention() -> nn.Module:
    """Build the transformer."""
    return Attention()


def pyramid() -> nn.Module:
    """Build the residual pyramid."""
    return Pyramid()


def vision() -> nn.Module:
    """Build the vision transformer."""
    return Vision()
