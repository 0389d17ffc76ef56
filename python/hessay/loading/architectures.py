"""Architectures by name, and factories that the user names explicitly.

============================  =================================================================
``linear:784-10``             one ``nn.Linear``
``mlp:784-512-10[:gelu]``     ``Linear, activation, ..., Linear``; state-dict keys ``0.weight``,
                              ``0.bias``, ``2.weight`` ...; ReLU when no activation is given
``cnn:1x28x28-10``            the same as ``cnn:1x28x28-8-16-64-10``
``cnn:CxHxW-c1-..-h-K``       reshape to (n, C, H, W); for every c: 3 x 3 convolution with padding
                              1, ReLU, 2 x 2 max pooling; flatten; Linear(h), ReLU, Linear(K)
``timm:resnet18[:10]``        built by timm without its weights; classes after the second colon
``package.module:factory``    imported and called without arguments; the working directory is
                              the last place searched
============================  =================================================================

Inputs of registered nets may be flat (n, d) or shaped (n, *shape); (n, H, W) serves when C = 1.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from hessay.errors import ArgumentError, ModelError
from hessay.loading.hub import build_timm

MAX_LAYERS: Final = 64  # widths in one name
MAX_WIDTH: Final = 2**20  # units in one layer; 3 x 512 x 512 images fit
MAX_PARAMETERS: Final = 2**28  # 1 GiB in float32; larger nets come from a factory

ACTIVATIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
    "identity": nn.Identity,
}
_FACTORY: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_HELP: Final = (
    "use mlp:784-512-10[:gelu], linear:784-10, cnn:1x28x28-10, timm:NAME or package.module:factory"
)


class FlattenedMLP(nn.Sequential):
    """``nn.Sequential`` that takes (n, *shape) as (n, d); the state-dict keys stay the same."""

    def forward(self, inputs: Tensor) -> Tensor:  # noqa: D102
        output = inputs.flatten(1) if inputs.ndim > 2 else inputs
        for layer in self:
            output = layer(output)
        return output


class ToImage(nn.Module):
    """Reshape (n, C * H * W), (n, H, W) when C = 1, or (n, C, H, W) to (n, C, H, W)."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.image_shape = (channels, height, width)

    def forward(self, inputs: Tensor) -> Tensor:  # noqa: D102
        return inputs.reshape(-1, *self.image_shape)

    def extra_repr(self) -> str:  # noqa: D102
        return "x".join(map(str, self.image_shape))


def build_mlp(widths: Sequence[int], activation: str = "relu") -> FlattenedMLP:
    """Multilayer perceptron with fresh weights from torch's global generator, in train mode.

    Parameters
    ----------
    widths : sequence of int, at least two
        Units from the input to the logits, each in [1, 2**20]; at most 2**28 parameters.
    activation : str
        Between the layers, one of ``ACTIVATIONS``.

    Raises
    ------
    ArgumentError
        A width or the activation is outside its range.
    """
    _check_widths(widths, minimum=2)
    if activation not in ACTIVATIONS:
        raise ArgumentError(
            f"unknown activation {activation!r}; use one of {', '.join(ACTIVATIONS)}"
        )
    _check_parameters(sum((a + 1) * b for a, b in pairwise(widths)))
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    return FlattenedMLP(*layers[:-1])


def build_cnn(image_shape: Sequence[int], widths: Sequence[int]) -> nn.Sequential:
    """Small convolutional net, piecewise linear, fresh weights, in train mode.

    ``ToImage; (Conv2d 3x3 padding 1, ReLU, MaxPool2d 2) per channel count; Flatten; Linear(hidden),
    ReLU, Linear(classes)``, all children of one ``nn.Sequential``.

    Parameters
    ----------
    image_shape : (C, H, W)
        Channels, height, width; one pixel must be left after the poolings.
    widths : sequence of int, at least three
        Channels of each convolution, then the hidden units, then the classes.

    Raises
    ------
    ArgumentError
        A number is outside its range, or the image is too small.
    """
    _check_widths(image_shape, minimum=3, maximum=3)
    _check_widths(widths, minimum=3)
    channels, height, width = image_shape
    *filters, hidden, classes = widths
    rows, columns = height >> len(filters), width >> len(filters)
    if min(rows, columns) < 1:
        raise ArgumentError(
            f"{len(filters)} poolings leave nothing of a {height}x{width} image; "
            "use fewer convolutions"
        )
    flat = filters[-1] * rows * columns
    convolutions = pairwise([channels, *filters])
    _check_parameters(
        sum((9 * a + 1) * b for a, b in convolutions) + (flat + 1) * hidden + (hidden + 1) * classes
    )
    layers: list[nn.Module] = [ToImage(channels, height, width)]
    for count in filters:
        layers += [nn.Conv2d(channels, count, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = count
    layers += [nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
    return nn.Sequential(*layers)


def build_architecture(arch: str) -> nn.Module:
    """Build the net that ``arch`` names: fresh weights, in the mode its constructor leaves it in.

    Parameters
    ----------
    arch : str
        A name from the table at the top of this module.

    Returns
    -------
    nn.Module
        On the CPU for registered names; wherever the factory put it otherwise.

    Raises
    ------
    ArgumentError
        The name is malformed or a number in it is out of range.
    ModelError
        The factory is missing, raises, or returns something else than an ``nn.Module``.

    Examples
    --------
    >>> build_architecture("linear:4-3")
    FlattenedMLP(
      (0): Linear(in_features=4, out_features=3, bias=True)
    )
    """
    kind, _, rest = arch.partition(":")
    if kind == "linear":
        return build_mlp(_check_widths(_numbers(rest, arch), minimum=2, maximum=2))
    if kind == "mlp":
        widths, colon, activation = rest.partition(":")
        return build_mlp(_numbers(widths, arch), activation if colon else "relu")
    if kind == "cnn":
        shape, _, counts = rest.partition("-")
        widths_ = _numbers(counts, arch)
        image = _numbers(shape.replace("x", "-"), arch)
        return build_cnn(image, widths_ if len(widths_) > 1 else [8, 16, 64, *widths_])
    if kind == "timm":
        return build_timm(rest)
    if not _FACTORY.fullmatch(arch):
        raise ArgumentError(f"unknown architecture {arch!r}; {_HELP}")
    return _from_factory(arch)


def describe(model: nn.Module) -> str:
    """One line for reports: the layers that hold or bend something, and the parameter count.

    Examples
    --------
    >>> describe(build_mlp([4, 3, 2], "tanh"))
    'FlattenedMLP: Linear(4, 3), Tanh, Linear(3, 2); 23 parameters'
    """
    leaves = [_leaf(module) for module in model.modules() if next(module.children(), None) is None]
    shown = ", ".join(leaves[:12]) + (f" and {len(leaves) - 12} more" if len(leaves) > 12 else "")
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"{type(model).__name__}: {shown}; {count} parameters"


def _leaf(module: nn.Module) -> str:
    name = type(module).__name__
    if isinstance(module, nn.Linear):
        return f"{name}({module.in_features}, {module.out_features})"
    if isinstance(module, nn.modules.conv._ConvNd):
        kernel = "x".join(map(str, module.kernel_size))
        return f"{name}({module.in_channels}, {module.out_channels}, {kernel})"
    if isinstance(module, ToImage):
        return f"{name}({module.extra_repr()})"
    return name


def _numbers(text: str, arch: str) -> list[int]:
    parts = text.split("-")
    # ASCII digits only: int() also takes blanks, signs, underscores and other scripts.
    if not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts):
        raise ArgumentError(f"{text!r} in {arch!r} is not a list of whole numbers; {_HELP}")
    return [int(part) for part in parts]


def _check_widths(widths: Sequence[int], minimum: int, maximum: int = MAX_LAYERS) -> Sequence[int]:
    if not minimum <= len(widths) <= maximum:
        wanted = minimum if minimum == maximum else f"{minimum} to {maximum}"
        raise ArgumentError(
            f"{len(widths)} widths {[*widths][:8]}, but {wanted} are needed; {_HELP}"
        )
    for width in widths:
        if not 1 <= width <= MAX_WIDTH:
            raise ArgumentError(f"width {width} is outside [1, {MAX_WIDTH}]; {_HELP}")
    return widths


def _check_parameters(count: int) -> None:
    if count > MAX_PARAMETERS:
        raise ArgumentError(
            f"{count} parameters are over the limit of {MAX_PARAMETERS} for registered "
            "architectures; name a factory (package.module:factory) for a net of that size"
        )


def _from_factory(arch: str) -> nn.Module:
    module_name, _, attribute = arch.partition(":")
    # SystemExit is no Exception: a module must not end the scan with a status of its own choice.
    try:
        with _working_directory_importable():
            factory: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"cannot import {error.name!r} for {arch!r}; install it, or run from its directory"
        ) from error
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"importing {module_name} raised {type(error).__name__}: {error}"
        ) from error
    try:
        for name in attribute.split("."):
            factory = getattr(factory, name)
    except Exception as error:  # a lazy module raises what it likes from __getattr__
        raise ModelError(
            f"{module_name} has no {attribute!r} ({error}); check the name in {arch!r}"
        ) from error
    if not callable(factory):
        raise ModelError(
            f"{arch} is {type(factory).__name__}, not a function that builds the model"
        )
    try:
        model = factory()
    except (Exception, SystemExit) as error:
        raise ModelError(f"{arch} raised {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{arch} returned {type(model).__name__}; it must return an nn.Module")
    return model


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    """Last on ``sys.path``: a stray ``json.py`` beside the checkpoint must not shadow a library."""
    here = str(Path.cwd())
    importlib.invalidate_caches()
    sys.path.append(here)
    try:
        yield
    finally:
        # From the end: the caller may have had the same entry at the front.
        for position in reversed(range(len(sys.path))):
            if sys.path[position] == here:
                del sys.path[position]
                break
