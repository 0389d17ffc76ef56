"""The memory format of convolutions: another order of the same numbers, and never a lasting one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessay
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.layout import channels_last
from hessay.loading import model_digest


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6 * 4, 3)),
    ).double()


def images() -> Tensor:
    return torch.rand(8, 1, 14, 14, generator=torch.Generator().manual_seed(1)).double()


class Viewing(nn.Module):
    """Takes a view of its feature maps, which channels-last maps do not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 144, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x).view(len(x), -1))
        return logits


class Striding(nn.Module):
    """Reads its feature maps in the order of memory: other numbers in another format."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.body(x)
        return maps.as_strided((len(x), 12), (maps[0].numel(), 1))


def strides(model: nn.Module) -> list[tuple[int, ...]]:
    return [p.stride() for p in model.parameters()]


def places(model: nn.Module) -> list[int]:
    return [p.data_ptr() for p in model.parameters()]


def test_logits_and_gradients_are_those_of_the_other_format() -> None:
    model, x = network().eval(), images().requires_grad_(True)
    before = model(x)
    (wanted,) = torch.autograd.grad(before.square().sum(), x)
    with channels_last(model, x):
        after = model(x)
        (got,) = torch.autograd.grad(after.square().sum(), x)
        assert after.shape == before.shape
        assert model[3](model[2](model[0](x))).is_contiguous(memory_format=torch.channels_last)
    # Sums of at most 54 products in another order.
    assert torch.allclose(after, before, rtol=1e-12, atol=1e-13)
    assert torch.allclose(got, wanted, rtol=1e-12, atol=1e-13)


def test_weights_lie_channels_last_inside_and_where_they_were_outside() -> None:
    model = network().eval()
    formats, memory = strides(model), places(model)
    with channels_last(model, images()):
        assert model[0].weight.stride(1) == model[4].weight.stride(1) == 1
        with channels_last(model, images()):
            assert model[4].weight.stride(1) == 1
        assert model[4].weight.stride(1) == 1
    assert strides(model) == formats
    assert places(model) == memory


def test_weights_are_put_back_after_an_error() -> None:
    model = network().eval()
    memory = places(model)
    with pytest.raises(KeyError), channels_last(model, images()):
        raise KeyError
    assert places(model) == memory


@pytest.mark.parametrize("kind", [Viewing, Striding])
def test_a_model_that_depends_on_the_format_is_left_alone(kind: type[nn.Module]) -> None:
    model = kind().double().eval()
    formats = strides(model)
    wanted = model(images())
    with channels_last(model, images()):
        assert strides(model) == formats
        assert torch.equal(model(images()), wanted)


def test_a_model_that_raises_and_one_without_convolutions_are_left_alone() -> None:
    for model in (network().eval(), nn.Sequential(nn.Flatten(), nn.Linear(196, 3)).double()):
        formats = strides(model)
        with channels_last(model, images()[:, :, :3]):
            assert strides(model) == formats


def test_tied_weights_are_put_back_once() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.Flatten())
    model[2].weight = model[0].weight
    memory = places(model)
    with frozen(model), channels_last(model, torch.rand(4, 3, 8, 8)):
        assert model[2].weight is model[0].weight
        assert model[0].weight.stride(1) == 1
    assert places(model) == memory


def test_a_scan_leaves_the_weights_where_they_were() -> None:
    model = network().float().eval()
    memory = places(model)
    x = images().float().repeat(16, 1, 1, 1) + 0.1 * torch.rand(128, 1, 14, 14)
    report = hessay.scan(model, x)
    assert places(model) == memory
    assert report.model.digest == model_digest(model)
    assert np.isfinite(report.p_value or 0.0)
