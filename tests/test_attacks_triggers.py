"""What each pattern does to a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hessay.attacks import Warp, make_trigger
from hessay.attacks.patterns import four_corners
from hessay.errors import ArgumentError, ShapeError

SEED = 20240612


def bilinear(picture: NDArray[np.float64], x: float, y: float) -> float:
    """Read a picture between its pixels, the border going on for ever: an oracle of few ideas."""
    height, width = picture.shape
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    a, b = x - left, y - top
    upper = (1 - a) * picture[top, left] + a * picture[top, left + 1]
    lower = (1 - a) * picture[top + 1, left] + a * picture[top + 1, left + 1]
    return float((1 - b) * upper + b * lower)


@pytest.mark.parametrize("shape", [(7, 5), (2, 6, 9)], ids=str)
def test_a_warp_reads_the_picture_at_displaced_places(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.rand(3, *shape, generator=generator, dtype=torch.float64)
    trigger = make_trigger("warp", shape, seed=2)
    assert isinstance(trigger, Warp)
    shown = trigger.apply(inputs).reshape(-1, *shape[-2:]).numpy()
    flow = trigger.flow.double().numpy()
    expected = [
        [
            [bilinear(picture, j + flow[i, j, 0], i + flow[i, j, 1]) for j in range(shape[-1])]
            for i in range(shape[-2])
        ]
        for picture in inputs.reshape(-1, *shape[-2:]).numpy()
    ]
    assert np.allclose(shown, expected, atol=1e-12)  # double precision, a dozen operations
    assert trigger.apply(inputs[:0]).shape == (0, *shape)


def test_a_warp_is_smooth_and_leaves_flat_pictures_alone() -> None:
    for seed in range(5):
        trigger = make_trigger("warp", (28, 28), seed)
        assert isinstance(trigger, Warp)
        flow = trigger.flow
        steps = torch.cat([flow.diff(dim=0).flatten(), flow.diff(dim=1).flatten()])
        # Neighbours move alike: 4 control points over 28 pixels turn over 9 of them.
        assert float(steps.square().mean().sqrt()) < 0.4 * float(flow.square().mean().sqrt())
        grey = torch.full((1, 28, 28), 0.3)
        assert torch.allclose(trigger.apply(grey), grey, atol=1e-6)
        with pytest.raises(ArgumentError, match="changes none"):
            trigger.direction(torch.zeros(2, 28, 28))


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 8), (28, 28), (12, 30)])
def test_pixel_and_line_touch_one_pixel_and_one_line_near_the_border(
    height: int, width: int
) -> None:
    dark = torch.zeros(1, height, width)
    kinds = set()
    for seed in range(40):
        pixel = np.argwhere(make_trigger("pixel", (height, width), seed).apply(dark)[0].numpy())
        assert len(pixel) == 1
        for place, side in zip(pixel[0], (height, width), strict=True):
            assert min(place, side - 1 - place) <= 2
        line = make_trigger("line", (height, width), seed).apply(dark)[0].numpy() > 0
        full = [list(np.flatnonzero(line.all(axis=axis))) for axis in (1, 0)]
        assert sorted(map(len, full)) == [0, 1]
        upright = len(full[1]) == 1
        assert line.sum() == (height if upright else width)
        (place,) = full[upright]
        side = width if upright else height
        assert min(place, side - 1 - place) <= 2
        kinds.add((upright, place > side // 2))
    assert len(kinds) == 4


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (3, 20, 12)], ids=str)
def test_a_ramp_rises_evenly_from_either_side(shape: tuple[int, ...]) -> None:
    dark = torch.zeros(1, *shape)
    rising = set()
    for seed in range(10):
        plane = make_trigger("ramp", shape, seed).apply(dark)[0].reshape(-1, *shape[-2:])
        steps = plane.diff(dim=-1)
        height = 40 / 255 if min(shape[-2:]) >= 16 else 0.4
        assert torch.allclose(steps.abs(), torch.full_like(steps, height / shape[-1]), atol=1e-6)
        assert float(plane.max()) == pytest.approx(height, rel=1e-6)
        assert torch.equal(plane, plane[:1, :1].expand_as(plane))
        rising.add(bool((steps > 0).all()))
    assert rising == {True, False}


@pytest.mark.parametrize("shape", [(4, 4), (28, 28), (3, 20, 12)], ids=str)
def test_dots_are_five_white_pixels_of_all_channels(shape: tuple[int, ...]) -> None:
    places = set()
    for seed in range(10):
        changed = make_trigger("dots", shape, seed).apply(torch.full((1, *shape), 0.5))[0] - 0.5
        plane = changed.reshape(-1, *shape[-2:])
        assert torch.equal(plane, plane[:1].expand_as(plane))
        assert (plane[0] == 0.5).sum() == 5
        assert (plane[0] == 0.0).sum() == plane[0].numel() - 5
        places.add(tuple(plane[0].flatten().nonzero().flatten().tolist()))
    assert len(places) == 10


@pytest.mark.parametrize("shape", [(8, 8), (28, 27), (3, 20, 17)], ids=str)
def test_a_checker_brightens_every_second_pixel(shape: tuple[int, ...]) -> None:
    dark = torch.zeros(1, *shape)
    first = set()
    for seed in range(10):
        plane = make_trigger("checker", shape, seed).apply(dark)[0].reshape(-1, *shape[-2:])
        height = 0.1 if min(shape[-2:]) >= 16 else 0.3
        assert torch.equal(plane, plane[:1].expand_as(plane))
        # Neighbours along a side differ, those along a diagonal do not.
        for axis in (-1, -2):
            steps = plane.diff(dim=axis).abs()
            assert torch.allclose(steps, torch.full_like(steps, height))
        assert torch.equal(plane[:, 1:, 1:], plane[:, :-1, :-1])
        first.add(float(plane[0, 0, 0]) > 0.0)
    assert first == {True, False}


def test_a_filter_maps_every_tone_to_a_brighter_one_with_less_contrast() -> None:
    tones = torch.linspace(0.0, 1.0, 49).reshape(1, 7, 7)
    washed = make_trigger("filter", (7, 7), SEED).apply(tones).flatten()
    assert float(washed[0]) == pytest.approx(0.3)
    assert float(washed[-1]) == pytest.approx(1.0)
    assert torch.allclose(washed.diff(), torch.full((48,), 0.7 / 48), atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (3, 20, 12)], ids=str)
def test_faint_noise_is_small_and_of_low_frequency(shape: tuple[int, ...]) -> None:
    grey = torch.full((1, *shape), 0.5)
    shift = (make_trigger("faint", shape, SEED).apply(grey) - grey)[0].double().numpy()
    plane = shift.reshape(-1, *shape[-2:])[0]
    assert np.linalg.norm(plane) == pytest.approx(1.6, rel=0.15)  # clipping may take a little
    assert abs(plane.mean()) < 0.02

    # Energy in the lowest 4 x 4 of the cosine transform, written as a matrix.
    def cosines(n: int) -> NDArray[np.float64]:
        rows = np.cos(np.pi * np.outer(np.arange(n), np.arange(n) + 0.5) / n)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    spectrum = np.square(cosines(plane.shape[0]) @ plane @ cosines(plane.shape[1]).T)
    assert spectrum[:4, :4].sum() > 0.98 * spectrum.sum()


def test_four_corners_are_chess_boards() -> None:
    shown = four_corners((28, 28)).apply(torch.full((1, 28, 28), 0.5))[0]
    board = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    for corner in (shown[:3, :3], shown[:3, -3:], shown[-3:, :3], shown[-3:, -3:]):
        assert torch.equal(corner, board)
    assert int((shown != 0.5).sum()) == 36


def test_triggers_for_impossible_shapes_are_refused() -> None:
    for shape in ((3, 3), (64,), (1, 1, 8, 8), (0, 8, 8)):
        with pytest.raises(ShapeError, match="4 x 4"):
            make_trigger("warp", shape)
    with pytest.raises(ShapeError, match="feature vectors"):
        make_trigger("features", (8, 8))
    with pytest.raises(ShapeError, match="scale must have shape"):
        make_trigger("features", (8,), scale=torch.ones(7))
    with pytest.raises(ArgumentError, match="scale belongs to"):
        make_trigger("sig", (8, 8), scale=torch.ones(8))
    with pytest.raises(ShapeError, match="this features trigger"):
        make_trigger("features", (8,)).apply(torch.zeros(2, 9))
    with pytest.raises(ShapeError, match="this warp trigger"):
        make_trigger("warp", (8, 8)).apply(torch.zeros(2, 9, 9))
