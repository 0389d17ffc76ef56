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


def conv_norm() -> nn.Module:
    """Build the convolutional net with BatchNorm."""
    return ConvNorm()


def residual() -> nn.Module:
    """Build the residual net."""
    return Residual()


def attention() -> nn.Module:
    """Build the transformer."""
    return Attention()
