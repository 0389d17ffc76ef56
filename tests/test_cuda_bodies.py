"""The bodies of the CUDA kernels, run index by index on the processor under sanitizers.

Every comparison is with NumPy in float64. eps is that of the precision under test.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from device_bodies import NOTHING, Matrix, compile_bodies, compiler, run
from hessay import _core

SEED = 20
PRECISIONS = [np.float32, np.float64]
# (rows, samples, directions a sample): one number, tiny, odd, a whole number of packs, one row
SHAPES = [(1, 1, 1), (3, 2, 1), (5, 3, 4), (37, 4, 3), (64, 2, 8), (1, 5, 7), (4, 1, 2)]
# gap between columns, offset of the first number: packs, no packs for either reason
LAYOUTS = [(0, 0), (3, 0), (0, 1), (8, 4)]
ACTIVATIONS = {
    "identity": (0.0, lambda x: x),
    "relu": (0.0, torch.relu),
    "leaky_relu": (0.1, lambda x: torch.nn.functional.leaky_relu(x, 0.1)),
    "gelu": (0.0, torch.nn.functional.gelu),
    "gelu_tanh": (0.0, lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
    "silu": (0.0, torch.nn.functional.silu),
    "tanh": (0.0, torch.tanh),
    "sigmoid": (0.0, torch.sigmoid),
    "softplus": (1.5, lambda x: torch.nn.functional.softplus(x, 1.5)),
    "elu": (0.7, lambda x: torch.nn.functional.elu(x, 0.7)),
}

both_precisions = pytest.mark.parametrize("dtype", PRECISIONS)
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("no C++ compiler on this machine")
    return compile_bodies(tmp_path_factory.mktemp("bodies"))


def draw(*shape: int, dtype: Any, seed: int = SEED) -> NDArray[Any]:
    rng = np.random.default_rng([seed, *shape])
    return np.asarray(rng.standard_normal(shape), dtype=dtype)


def by_sample(factor: NDArray[Any], k: int) -> NDArray[np.float64]:
    return np.repeat(factor.astype(np.float64), k, axis=1)


@both_precisions
@every_layout
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (8, 2), (1, 4), (7, 1)])
def test_random_numbers_are_those_of_the_core(
    bodies: Path, dtype: Any, layout: tuple[int, int], shape: tuple[int, int]
) -> None:
    core = np.zeros(shape, dtype, order="F")
    _core.gaussian_fill(core, 11)
    out = Matrix(np.zeros(shape, dtype), *layout)
    (found,) = run(bodies, "gaussian_fill", dtype, [11, 0], [out])
    # doubles: one header, but the two compilers' flags may take other library functions, 2 ulp;
    # floats: logarithm, sine and cosine in float, see gaussian_pair_single
    ulp = 2 if dtype == np.float64 else 8
    np.testing.assert_allclose(found, core, rtol=ulp * np.finfo(dtype).eps, atol=1e-15)
    (other,) = run(bodies, "gaussian_fill", dtype, [11, 1], [out])
    assert np.all(other != found)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_torch_and_their_derivatives(bodies: Path, name: str) -> None:
    parameter, function = ACTIVATIONS[name]
    x = torch.linspace(-4.05, 4.0, 35, dtype=torch.float64).reshape(7, 5).requires_grad_()
    value = function(x)
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    curvature = torch.zeros_like(x)
    if slope.requires_grad:
        (curvature,) = torch.autograd.grad(slope.sum(), x)
    place = list(ACTIVATIONS).index(name)
    for dtype in PRECISIONS:
        # values of size 4 and a handful of roundings, amplified at most by |x|^3 of the tanh form
        atol = 100 * np.finfo(dtype).eps
        points = Matrix(x.detach().numpy().astype(dtype), 1, 0)
        room = Matrix(np.zeros((7, 5), dtype), 1, 4)
        found = run(bodies, "activate", dtype, [place, parameter], [points, room, room])
        for got, wanted in zip(found, (value, slope, curvature), strict=True):
            np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=0, atol=atol)
        alone = run(bodies, "activate", dtype, [place, parameter], [points, NOTHING, NOTHING])
        np.testing.assert_array_equal(alone[0], found[0])


@both_precisions
@every_layout
@pytest.mark.parametrize("shape", SHAPES)
def test_tangents_meet_the_factors_of_their_sample(
    bodies: Path, dtype: Any, layout: tuple[int, int], shape: tuple[int, int, int]
) -> None:
    h, n, k = shape
    slope, curvature = draw(h, n, dtype=dtype), draw(h, n, dtype=dtype, seed=1)
    back, tangent = draw(h, n * k, dtype=dtype, seed=2), draw(h, n * k, dtype=dtype, seed=3)
    pushed = draw(h, k, dtype=dtype, seed=4)
    eps = float(np.finfo(dtype).eps)
    s, c, x, t = (
        by_sample(slope, k),
        by_sample(curvature, k),
        back.astype(float),
        tangent.astype(float),
    )

    kept = Matrix(np.zeros_like(back), *layout)
    _, scaled, copy = run(
        bodies, "scale_by_sample", dtype, [k], [Matrix(slope, *layout), Matrix(back, *layout), kept]
    )
    np.testing.assert_array_equal(copy, back)
    np.testing.assert_allclose(scaled, s * x, rtol=eps)

    *_, step = run(
        bodies,
        "tangent_backward_step",
        dtype,
        [k],
        [Matrix(m, *layout) for m in (slope, curvature, tangent, back)],
    )
    # two products and a sum, each rounded once
    assert np.all(np.abs(step - (s * x + c * t)) <= 2 * eps * (np.abs(s * x) + np.abs(c * t)))

    out = Matrix(np.zeros((h, n * k), dtype), *layout)
    shared = np.tile(pushed.astype(float), (1, n))
    *_, expanded = run(
        bodies, "expand_shared", dtype, [], [Matrix(slope, *layout), Matrix(pushed, *layout), out]
    )
    np.testing.assert_allclose(expanded, s * shared, rtol=eps)
    *_, plain = run(bodies, "expand_shared", dtype, [], [NOTHING, Matrix(pushed, *layout), out])
    np.testing.assert_array_equal(plain, shared)


@both_precisions
@every_layout
@pytest.mark.parametrize(("h", "n", "k"), [*SHAPES, (6, 64, 2), (5, 65, 1), (3, 200, 3)])
def test_sums_over_samples_are_added_to_what_was_there(
    bodies: Path, dtype: Any, layout: tuple[int, int], h: int, n: int, k: int
) -> None:
    slope, value = draw(h, n, dtype=dtype), draw(h, n * k, dtype=dtype, seed=1)
    before = draw(h, k, dtype=np.float64, seed=2)
    terms = (by_sample(slope, k) * value).reshape(h, n, k)
    request = [Matrix(slope, *layout), Matrix(value, *layout), Matrix(before, *layout)]
    *_, found = run(bodies, "reduce_shared", dtype, [], request)
    # each product is rounded in the data's precision; the sum of n of them in double
    size = np.abs(terms).sum(axis=1)
    bound = np.finfo(dtype).eps * size + (n + 1) * 2.3e-16 * (size + np.abs(before))
    assert np.all(np.abs(found - (before + terms.sum(axis=1))) <= bound)
    *_, plain = run(bodies, "reduce_shared", dtype, [], [NOTHING, *request[1:]])
    wanted = before + value.astype(float).reshape(h, n, k).sum(axis=1)
    np.testing.assert_allclose(plain, wanted, rtol=0, atol=(n + 2) * 2.3e-16 * (4 * n))


@both_precisions
@every_layout
@pytest.mark.parametrize(
    ("classes", "n", "k"), [(1, 1, 1), (2, 3, 1), (10, 4, 3), (33, 2, 2), (257, 1, 2)]
)
def test_cross_entropy_curvature_is_diag_p_minus_pp(
    bodies: Path, dtype: Any, layout: tuple[int, int], classes: int, n: int, k: int
) -> None:
    scale = 1.7
    p = np.exp(draw(classes, n, dtype=np.float64))
    p = (p / p.sum(axis=0)).astype(dtype)
    u = draw(classes, n * k, dtype=dtype, seed=1)
    _, found = run(
        bodies,
        "cross_entropy_curvature",
        dtype,
        [k, scale],
        [Matrix(p, *layout), Matrix(u, *layout)],
    )
    eps = float(np.finfo(dtype).eps)
    for column in range(n * k):
        q = p[:, column // k].astype(float)
        exact = (np.diag(q) - np.outer(q, q)) @ u[:, column].astype(float) / scale**2
        # The sum over the classes carries at most (log2 32 + classes / 32 + 2) roundings of p'|u|.
        mean = q @ np.abs(u[:, column])
        roundings = math.log2(32) + classes / 32 + 6
        bound = roundings * eps * q * (np.abs(u[:, column]) + mean) / scale**2
        # a distribution of float32 sums to 1 only up to rounding, which the oracle takes as it is
        assert np.all(np.abs(found[:, column] - exact) <= bound)


@both_precisions
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (255, 2), (8192, 1), (8193, 2), (20000, 3)])
@pytest.mark.parametrize("layout", [(0, 0), (3, 1)])
def test_column_norms(
    bodies: Path, dtype: Any, shape: tuple[int, int], layout: tuple[int, int]
) -> None:
    x = draw(*shape, dtype=dtype)
    room = Matrix(np.zeros((shape[1], 1)))
    _, norms = run(bodies, "column_norms", dtype, [], [Matrix(x, *layout), room])
    # sums of positive numbers: 32 terms a lane, trees of 8 levels, a few more roundings
    np.testing.assert_allclose(
        norms[:, 0], np.linalg.norm(x.astype(float), axis=0), rtol=60 * 2.3e-16
    )


def test_column_norms_keep_their_range_and_show_what_is_not_finite(bodies: Path) -> None:
    columns = np.array(
        [[3e-200, 4e-200], [3e200, 4e200], [0, 0], [1, np.nan], [np.nan, 1], [-np.inf, 1]]
    ).T
    _, norms = run(
        bodies, "column_norms", np.float64, [], [Matrix(columns), Matrix(np.zeros((6, 1)))]
    )
    np.testing.assert_allclose(norms[:2, 0], [5e-200, 5e200], rtol=1e-15)
    assert norms[2, 0] == 0
    assert np.isnan(norms[3:5, 0]).all()
    assert norms[5, 0] == np.inf


@both_precisions
@every_layout
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (64, 2), (33, 1)])
def test_lanczos_steps(
    bodies: Path, dtype: Any, layout: tuple[int, int], shape: tuple[int, int]
) -> None:
    v, u, w = (draw(*shape, dtype=dtype, seed=s) for s in range(3))
    alpha, beta = (draw(shape[1], 1, dtype=np.float64, seed=s) for s in (3, 4))
    arrays = [Matrix(alpha), Matrix(beta), *(Matrix(m, *layout) for m in (v, u, w))]
    *_, found = run(bodies, "lanczos_update", dtype, [], arrays)
    a, b = alpha[:, 0], beta[:, 0]
    wide = [m.astype(float) for m in (v, u, w)]
    size = np.abs(wide[2]) + np.abs(a * wide[0]) + np.abs(b * wide[1])
    # coefficient, product and difference are rounded for both vectors
    bound = 6 * np.finfo(dtype).eps * size
    assert np.all(np.abs(found - (wide[2] - b * wide[1] - a * wide[0])) <= bound)

    norms = np.abs(alpha)
    norms[0] = 0
    _, unit = run(bodies, "normalise", dtype, [], [Matrix(norms), Matrix(w, *layout)])
    np.testing.assert_array_equal(unit[:, 0], w[:, 0])
    np.testing.assert_allclose(unit[:, 1:], w[:, 1:] / norms[1:, 0], rtol=np.finfo(dtype).eps)


@every_layout
def test_gram_pieces(bodies: Path, layout: tuple[int, int]) -> None:
    x, square = draw(9, 4, dtype=np.float32), draw(7, 7, dtype=np.float64)
    _, wide = run(
        bodies, "widen", np.float32, [], [Matrix(x, *layout), Matrix(np.zeros((9, 4)), *layout)]
    )
    np.testing.assert_array_equal(wide, x.astype(float))
    (full,) = run(bodies, "mirror_upper", np.float64, [], [Matrix(square, *layout)])
    np.testing.assert_array_equal(full, np.triu(square) + np.triu(square, 1).T)


def test_shapes_that_do_not_fit_are_refused(bodies: Path) -> None:
    x, factor = Matrix(np.ones((3, 4))), Matrix(np.ones((3, 3)))
    with pytest.raises(RuntimeError, match=r"factor \(3, 3\) with 2 directions a sample"):
        run(bodies, "scale_by_sample", np.float64, [2], [factor, x, NOTHING])
    with pytest.raises(RuntimeError, match=r"directions per sample must be at least 1, got 0"):
        run(bodies, "scale_by_sample", np.float64, [0], [factor, x, NOTHING])
    with pytest.raises(RuntimeError, match=r"logit scale must be positive and finite, got 0"):
        run(bodies, "cross_entropy_curvature", np.float64, [1, 0.0], [x, x])


def test_empty_matrices_are_no_work(bodies: Path) -> None:
    empty = Matrix(np.zeros((4, 0)))
    (none,) = run(bodies, "gaussian_fill", np.float64, [1, 0], [empty])
    assert none.shape == (4, 0)
    _, untouched = run(bodies, "column_norms", np.float64, [], [empty, Matrix(np.zeros((0, 1)))])
    assert untouched.shape == (0, 1)
    *_, kept = run(
        bodies, "reduce_shared", np.float64, [], [NOTHING, empty, Matrix(np.ones((4, 2)))]
    )
    np.testing.assert_array_equal(kept, np.ones((4, 2)))
