"""Architectures of the examination alone: no constant was ever fitted to a network of these kinds."""

from __future__ import annotations

import itertools

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


class Stage(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm beside a shortcut that is free where the shape stays."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.ReLU(),
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
        )
        same = before == after and stride == 1
        self.skip: nn.Module = nn.Identity() if same else nn.Conv2d(before, after, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (n, after, H / stride, W / stride)."""
        mapped: Tensor = self.skip(x) + self.body(x)
        return mapped


class PreActivation(nn.Module):
    """A strided stem, four pre-activation residual blocks of 10 to 20 channels, an average."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 10, 3, stride=2, padding=1),
            *(Stage(10, 10, 1), Stage(10, 20, 2), Stage(20, 20, 1), Stage(20, 20, 2)),
            *(nn.BatchNorm2d(20), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
            nn.Linear(80, 10),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        logits: Tensor = self.layers(inputs.reshape(-1, 1, 28, 28))
        return logits


class ClassToken(nn.Module):
    """A convolutional patch embedding of 7 x 7 places, a class token, two pre-norm layers with GELU."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 6, stride=4, padding=1)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(50, width))
        layer = nn.TransformerEncoderLayer(
            width, 2, 3 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        patches = self.embed(inputs.reshape(-1, 1, 28, 28)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(patches), -1, -1), patches], dim=1)
        logits: Tensor = self.head(self.encoder(tokens + self.position)[:, 0])
        return logits


class Normalised(nn.Module):
    """Three hidden layers of 192, 96 and 48 units with LayerNorm, SiLU and dropout."""

    def __init__(self) -> None:
        super().__init__()
        widths = (784, 192, 96, 48)
        self.layers = nn.Sequential(
            *(
                layer
                for a, b in itertools.pairwise(widths)
                for layer in (nn.Linear(a, b), nn.LayerNorm(b), nn.SiLU(), nn.Dropout(0.1))
            ),
            nn.Linear(48, 10),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        logits: Tensor = self.layers(inputs.flatten(1))
        return logits


class Separable(nn.Module):
    """A strided stem and three depthwise-separable convolutions to 64 channels, BatchNorm, ReLU6, an average."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()),
            *(
                layer
                for a, stride in ((16, 2), (32, 1), (32, 2))
                for layer in self._step(a, stride)
            ),
            *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, 10)),
        )

    @staticmethod
    def _step(channels: int, stride: int) -> tuple[nn.Module, ...]:
        after = channels * 2 if stride == 2 else channels
        depthwise = nn.Conv2d(
            channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False
        )
        pointwise = nn.Conv2d(channels, after, 1, bias=False)
        return (
            *(depthwise, nn.BatchNorm2d(channels), nn.ReLU6()),
            *(pointwise, nn.BatchNorm2d(after), nn.ReLU6()),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        logits: Tensor = self.layers(inputs.reshape(-1, 1, 28, 28))
        return logits


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions with BatchNorm and leaky ReLU beside a projection."""

    def __init__(self, before: int, middle: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(before, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.LeakyReLU(0.1)),
            nn.Conv2d(middle, middle, 3, stride=stride, padding=1, bias=False),
            *(nn.BatchNorm2d(middle), nn.LeakyReLU(0.1)),
            *(nn.Conv2d(middle, after, 1, bias=False), nn.BatchNorm2d(after)),
        )
        self.skip = nn.Sequential(
            nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (n, after, H / stride, W / stride)."""
        return nn.functional.leaky_relu(self.body(x) + self.skip(x), 0.1)


class Bottlenecks(nn.Module):
    """A 5 x 5 stem with max pooling and four bottleneck blocks of 24 to 48 channels, an average."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 12, 5, padding=2), nn.BatchNorm2d(12), nn.LeakyReLU(0.1)),
            nn.MaxPool2d(2),
            *(Bottleneck(12, 8, 24, 1), Bottleneck(24, 8, 24, 2)),
            *(Bottleneck(24, 16, 48, 1), Bottleneck(48, 16, 48, 2)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10)),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        logits: Tensor = self.layers(inputs.reshape(-1, 1, 28, 28))
        return logits


class ConvolutionalStem(nn.Module):
    """Two strided convolutions to 7 x 7 places, three pre-norm layers of width 40, mean pooling."""

    def __init__(self, width: int = 40) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(16, width, 3, stride=2, padding=1),
        )
        self.position = nn.Parameter(0.02 * torch.randn(49, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, 3, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.head = nn.Linear(width, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, 28, 28)."""
        places = self.stem(inputs.reshape(-1, 1, 28, 28)).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.encoder(places + self.position).mean(dim=1))
        return logits


def lenet() -> nn.Module:
    """Build the LeNet."""
    return LeNet()


def preactivation() -> nn.Module:
    """Build the pre-activation residual net."""
    return PreActivation()


def class_token() -> nn.Module:
    """Build the vision transformer with a class token."""
    return ClassToken()


def normalised() -> nn.Module:
    """Build the perceptron with LayerNorm."""
    return Normalised()


def separable() -> nn.Module:
    """Build the depthwise-separable net."""
    return Separable()


def bottlenecks() -> nn.Module:
    """Build the residual net of bottleneck blocks."""
    return Bottlenecks()


def convolutional_stem() -> nn.Module:
    """Build the vision transformer with a convolutional stem."""
    return ConvolutionalStem()
