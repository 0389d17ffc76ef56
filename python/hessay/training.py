"""Small data sets and a seeded trainer, for the demo, the tests and the reference models.

Nothing is downloaded: the digits come inside scikit-learn, Fashion-MNIST from the files of
Debian's package ``dataset-fashion-mnist``.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.errors import ArgumentError, ProbeError, ShapeError
from hessay.hessian.model.evaluate import like_model
from hessay.loading import build_architecture
from hessay.loading.probe_arrays import require_class_numbers

DatasetName = Literal["digits", "fashion-mnist"]
Optimizer = Literal["adam", "sgd"]

FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FASHION_CLASSES = (
    *("T-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
_DIGITS_HELD_OUT = 1 / 3  # 599 pictures: enough for a probe of 512
_STEPS = 800  # updates that bring the small nets to the plateau of both data sets


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Grey pictures in [0, 1], split into a part to train on and a part held out."""

    name: str
    train_inputs: Tensor  # (n, H, W) float32 in [0, 1]
    train_targets: Tensor  # (n,) int64
    test_inputs: Tensor  # (m, H, W) float32 in [0, 1], never trained on: probes come from here
    test_targets: Tensor  # (m,) int64
    classes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (H, W) of one picture."""
        return tuple(self.train_inputs.shape[1:])


def load_dataset(name: DatasetName, *, seed: int = 0) -> Dataset:
    """Load one of the two data sets that need no network.

    Parameters
    ----------
    name : {"digits", "fashion-mnist"}
        scikit-learn's 8 x 8 handwritten digits (1797 pictures, pixels / 16, split 2:1), or
        Fashion-MNIST (60000 + 10000 pictures of 28 x 28, pixels / 255, split as published).
    seed : int
        Shuffles the digits before the split, and the order of Fashion-MNIST's two parts.

    Raises
    ------
    ArgumentError
        Unknown name.
    ProbeError
        The data set is not installed, or a file of it is damaged.
    """
    if name == "digits":
        return _digits(seed)
    if name == "fashion-mnist":
        return _fashion_mnist(seed)
    raise ArgumentError(f"data set must be one of {get_args(DatasetName)}, got {name!r}")


def default_epochs(rows: int, batch_size: int = 128) -> int:
    """Return the passes over ``rows`` rows that make about 800 updates, between 5 and 100."""
    return min(100, max(5, math.ceil(_STEPS * batch_size / max(rows, 1))))


def train_classifier(
    arch: str | nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    epochs: int | None = None,
    seed: int = 0,
    weight_decay: float = 0.0,
    lr: float = 1e-3,
    batch_size: int = 128,
    optimizer: Optimizer = "adam",
    shift: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> nn.Module:
    r"""Train a small classifier; the same seed gives the same weights.

    Parameters
    ----------
    arch : str or nn.Module
        A registered architecture, for example ``"mlp:784-256-128-10"`` or ``"cnn:1x28x28-10"``, or
        a network, which is trained in place from the weights it has.
    inputs : (n, \*shape) float32
        Training inputs, in the scale the model will be used with.
    targets : (n,) integer in [0, C)
        Labels.
    epochs : int or None
        Passes over the data; None takes :func:`default_epochs`.
    seed : int
        Initial weights and the order of the batches. The global random state is restored.
    weight_decay, lr, batch_size
        Of the optimiser: AdamW (Loshchilov & Hutter 2019), or SGD with momentum 0.9.
    optimizer : {"adam", "sgd"}
    shift : int, >= 0, pixels
        Augmentation: every batch is moved by up to this many pixels along the last two axes, zeros
        moving in.
    progress : callable or None
        Called as ``progress("training", share_done)`` after each epoch.

    Returns
    -------
    nn.Module
        In eval mode; on the CPU, or where the module given is.

    Raises
    ------
    ArgumentError
        Unknown architecture or optimiser, or a number out of range.
    ShapeError, ProbeError
        ``targets`` does not match ``inputs``, or holds no class numbers.
    """
    if targets.ndim != 1 or len(targets) != len(inputs) or len(inputs) == 0:
        raise ShapeError(
            f"training needs n > 0 inputs and targets of shape (n,), got {tuple(inputs.shape)} "
            f"and {tuple(targets.shape)}"
        )
    passes = default_epochs(len(inputs), batch_size) if epochs is None else epochs
    if passes < 1 or batch_size < 1 or lr <= 0 or weight_decay < 0 or shift < 0:
        raise ArgumentError(
            "training needs epochs >= 1, batch_size >= 1, lr > 0, weight_decay >= 0 and "
            f"shift >= 0, got {passes}, {batch_size}, {lr}, {weight_decay}, {shift}"
        )
    if shift > 0 and inputs.ndim < 3:
        raise ShapeError(f"only pictures can be shifted, got inputs {tuple(inputs.shape)}")
    if optimizer not in get_args(Optimizer):
        raise ArgumentError(f"optimizer must be one of {get_args(Optimizer)}, got {optimizer!r}")
    require_class_numbers(targets)
    labels = targets.to(torch.int64)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        model = (build_architecture(arch) if isinstance(arch, str) else arch).train()
        parameters = model.parameters()
        rule: torch.optim.Optimizer = (
            torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
            if optimizer == "adam"
            else torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=weight_decay)
        )
        for epoch in range(passes):
            order = torch.randperm(len(inputs))
            for rows in torch.split(order, batch_size):
                batch = inputs[rows] if shift == 0 else _shifted(inputs[rows], shift)
                logits = model(like_model(model, batch))
                loss = nn.functional.cross_entropy(logits, labels[rows].to(logits.device))
                rule.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                rule.step()
            if progress is not None:
                progress("training", (epoch + 1) / passes)
    for parameter in model.parameters():
        parameter.grad = None
    return model.eval()


def _shifted(pictures: Tensor, most: int) -> Tensor:
    down, right = (int(v) for v in torch.randint(-most, most + 1, (2,)))
    height, width = pictures.shape[-2:]
    padded = nn.functional.pad(pictures, (most, most, most, most))
    rows = slice(most - down, most - down + height)
    moved: Tensor = padded[..., rows, most - right : most - right + width]
    return moved


def accuracy(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Share of inputs the model classifies as labelled, in [0, 1]."""
    with torch.no_grad():
        predicted = model(like_model(model, inputs)).argmax(dim=1)
        return float((predicted == targets.to(predicted.device)).double().mean())


def _digits(seed: int) -> Dataset:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ProbeError(
            "the digits come with scikit-learn, which is not installed; "
            "install hessay with its extra: pip install 'hessay[cli]'"
        ) from error
    bunch = load_digits()
    pictures = np.asarray(bunch.images, dtype=np.float32) / np.float32(16.0)
    labels = np.asarray(bunch.target, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    held_out = round(_DIGITS_HELD_OUT * len(labels))
    train, test = order[held_out:], order[:held_out]
    return Dataset(
        "digits",
        torch.from_numpy(pictures[train]),
        torch.from_numpy(labels[train]),
        torch.from_numpy(pictures[test]),
        torch.from_numpy(labels[test]),
        tuple(str(digit) for digit in range(10)),
    )


def _fashion_mnist(seed: int) -> Dataset:
    if not FASHION_MNIST_FOLDER.is_dir():
        raise ProbeError(
            f"Fashion-MNIST is not installed: no folder {FASHION_MNIST_FOLDER}; on Debian: "
            "apt-get install dataset-fashion-mnist"
        )
    parts: list[Tensor] = []
    rng = np.random.default_rng(seed)
    for part in ("train", "t10k"):
        pictures = _read_idx(FASHION_MNIST_FOLDER / f"{part}-images-idx3-ubyte.gz", 3)
        labels = _read_idx(FASHION_MNIST_FOLDER / f"{part}-labels-idx1-ubyte.gz", 1)
        if len(pictures) != len(labels):
            raise ProbeError(
                f"Fashion-MNIST is damaged: {len(pictures)} pictures but {len(labels)} labels in "
                f"{part}; reinstall dataset-fashion-mnist"
            )
        order = rng.permutation(len(labels))
        parts.append(torch.from_numpy(pictures[order].astype(np.float32) / np.float32(255.0)))
        parts.append(torch.from_numpy(labels[order].astype(np.int64)))
    x, y, test_x, test_y = parts
    return Dataset("fashion-mnist", x, y, test_x, test_y, _FASHION_CLASSES)


def _read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes: 2 zero bytes, type 8, ndim, ndim big-endian sizes, the data."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise ProbeError(f"cannot read {path}: {error}; reinstall dataset-fashion-mnist") from error
    header = 4 + 4 * ndim
    sizes = tuple(int(v) for v in np.frombuffer(raw[4:header], dtype=">u4"))
    if raw[:4] != bytes((0, 0, 8, ndim)) or len(raw) != header + math.prod(sizes):
        raise ProbeError(
            f"{path} is not an IDX file of bytes with {ndim} axes; reinstall dataset-fashion-mnist"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(sizes)
