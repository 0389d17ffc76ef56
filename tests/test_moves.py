"""Moves of inputs: nothing at zero, what they say otherwise, and derivatives that are theirs."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hessay.errors import ArgumentError, ShapeError
from hessay.hessian.model.freeze import frozen
from hessay.hessian.moves import WARP_NODES, Move, Shift, SmoothWarp, mean_change, warped
from hessay.hessian.perturbation import refine_warps

SHAPES = [(12, 12), (3, 9, 14)]


def pictures(shape: tuple[int, ...], n: int = 4) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def moves(shape: tuple[int, ...]) -> list[Move]:
    like = pictures(shape)
    return [Shift(like[0].numel(), (-1.0, 2.0)), SmoothWarp.of(shape, like)]


@pytest.mark.parametrize("shape", SHAPES)
def test_parameters_of_zero_change_nothing(shape: tuple[int, ...]) -> None:
    inputs = pictures(shape)
    for move in moves(shape):
        same = move.apply(inputs, inputs.new_zeros(len(inputs), move.width))
        torch.testing.assert_close(same, inputs, atol=1e-12, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_input_is_moved_by_its_own_row(shape: tuple[int, ...]) -> None:
    inputs = pictures(shape)
    for move in moves(shape):
        rows = torch.randn(len(inputs), move.width, dtype=torch.float64)
        together = move.apply(inputs, rows)
        for i in range(len(inputs)):
            alone = move.apply(inputs[i : i + 1], rows[i : i + 1])
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-12, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_derivative_is_that_of_the_difference_quotient(shape: tuple[int, ...]) -> None:
    # Smooth pictures and displacements between pixel centres: bilinear reading has kinks at them.
    height, width = shape[-2:]
    wave = torch.sin(torch.arange(height)[:, None] / 3.0) * torch.cos(torch.arange(width) / 4.0)
    inputs = wave.double().expand(2, *shape).clone()
    for move in moves(shape):
        generator = torch.Generator().manual_seed(3)
        rows = 0.05 * torch.randn(2, move.width, generator=generator, dtype=torch.float64)
        apply = functools.partial(move.apply, inputs)
        assert torch.autograd.gradcheck(apply, rows.requires_grad_(True))


def test_equal_displacements_shift_the_picture() -> None:
    inputs = pictures((12, 12))
    rows = np.zeros(2 * WARP_NODES**2)
    rows[: WARP_NODES**2] = 1.0 / WARP_NODES  # one pixel to the right at every node
    moved = warped(inputs, rows)
    torch.testing.assert_close(moved[..., :-1], inputs[..., 1:], atol=1e-12, rtol=0)
    torch.testing.assert_close(moved[..., -1], inputs[..., -1], atol=1e-12, rtol=0)
    # The norm of the parameters is the root mean square displacement.
    assert np.linalg.norm(rows) == pytest.approx(1.0)


def test_a_warp_is_the_slow_definition() -> None:
    inputs = pictures((10, 13), n=2)
    rows = np.random.default_rng(1).normal(size=2 * WARP_NODES**2) * 0.1
    nodes = torch.from_numpy(WARP_NODES * rows).reshape(1, 2, WARP_NODES, WARP_NODES)
    flow = nn.functional.interpolate(nodes, size=(10, 13), mode="bicubic", align_corners=True)[0]
    moved = warped(inputs, rows)
    for y in (0, 4, 9):
        for x in (0, 6, 12):
            at_x = min(max(x + float(flow[0, y, x]), 0.0), 12.0)
            at_y = min(max(y + float(flow[1, y, x]), 0.0), 9.0)
            left, top = min(int(at_x), 11), min(int(at_y), 8)
            a, b = at_x - left, at_y - top
            picture = inputs[1]
            expected = (1 - b) * ((1 - a) * picture[top, left] + a * picture[top, left + 1]) + b * (
                (1 - a) * picture[top + 1, left] + a * picture[top + 1, left + 1]
            )
            assert float(moved[1, y, x]) == pytest.approx(float(expected), abs=1e-12)


def test_the_mean_change_is_the_mean_of_the_changes() -> None:
    inputs = pictures((3, 8, 8))
    rows = np.random.default_rng(2).normal(size=2 * WARP_NODES**2) * 0.05
    expected = np.mean([(warped(x[None], rows)[0] - x).flatten().numpy() for x in inputs], axis=0)
    assert mean_change(inputs, rows) == pytest.approx(expected, abs=1e-12)


class ReadsRightEdge(nn.Module):
    """Class 1 where the last column is bright; class 0 otherwise, whatever else there is."""

    def forward(self, x: Tensor) -> Tensor:
        edge = x[:, :, -2:].mean(dim=(1, 2))
        return torch.stack((0.2 - edge, edge - 0.2, torch.full_like(edge, -5.0)), dim=1)


def test_a_warp_is_found_that_leads_where_one_can_and_nowhere_else() -> None:
    # Two bright columns before a dark edge: bending the picture by two pixels brings them there.
    inputs = torch.zeros(20, 16, 16)
    inputs[:, :, 12:14] = 1.0
    inputs[::4, :, 15] = 1.0
    inputs = inputs + 0.01 * torch.rand(20, 16, 16, generator=torch.Generator().manual_seed(0))
    model = ReadsRightEdge().eval()
    with frozen(model):
        found = refine_warps(model, inputs, radii=[2.0], steps=8)
    assert found.flip_rate[0, 1] == 1.0
    assert found.flip_rate[0, 2] == 0.0
    assert np.linalg.norm(found.perturbation[0], axis=1).max() <= 2.0 * (1 + 1e-6)
    # What it says of the judged half is what the model does to it.
    judged = inputs[1::2]
    with torch.no_grad():
        clean, moved = (model(x) for x in (judged, warped(judged, found.perturbation[0, 1])))
    outside = clean.argmax(1) != 1
    assert float((moved.argmax(1) == 1)[outside].double().mean()) == found.flip_rate[0, 1]


def test_what_cannot_be_bent_is_refused() -> None:
    model = ReadsRightEdge().eval()
    with frozen(model):
        with pytest.raises(ShapeError, match="pictures"):
            refine_warps(model, torch.rand(8, 16), radii=[1.0])
        with pytest.raises(ShapeError, match="at least 4"):
            refine_warps(model, torch.rand(8, 3, 16), radii=[1.0])
        with pytest.raises(ArgumentError, match="ascending"):
            refine_warps(model, torch.rand(8, 16, 16), radii=[2.0, 1.0])
        with pytest.raises(ArgumentError, match="ascending"):
            refine_warps(model, torch.rand(8, 16, 16), radii=[0.0, 1.0])
