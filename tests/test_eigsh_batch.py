"""Batched eigenpairs against LAPACK, one sample at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NonFinite, NotConverged, ShapeError
from hessay.hessian import InputHessian
from hessay.spectrum import EigenpairsBatch, eigsh, eigsh_batch
from hessian_nets import C, D, hessians, networks

SEED = 20253
Stack = NDArray[np.float64]


def with_values(values: NDArray[np.float64], rng: np.random.Generator) -> Stack:
    basis, _ = np.linalg.qr(rng.standard_normal((len(values), len(values))))
    matrix: Stack = (basis * values) @ basis.T
    return (matrix + matrix.T) / 2


def wanted(matrix: Stack, k: int, which: str) -> NDArray[np.float64]:
    ascending = np.linalg.eigvalsh(matrix)
    if which == "LA":
        return ascending[::-1][:k]
    if which == "SA":
        return ascending[:k]
    if which == "BE":
        low = ascending[: k // 2]
        return np.sort(np.concatenate([ascending[len(ascending) - (k + 1) // 2 :], low]))[::-1]
    return ascending[np.argsort(-np.abs(ascending), kind="stable")][:k]


def assert_right(pairs: EigenpairsBatch, stack: Stack, k: int, which: str, tol: float) -> None:
    for i, matrix in enumerate(stack):
        norm = np.abs(np.linalg.eigvalsh(matrix)).max()
        rounding = 1e-13 * max(norm, 1e-300) * len(matrix) ** 0.5
        values, vectors = pairs.values[i], pairs.vectors[i]
        # A residual r moves an eigenvalue by at most r (Weyl), so the values inherit the tolerance.
        np.testing.assert_allclose(
            np.sort(values), np.sort(wanted(matrix, k, which)), rtol=0, atol=tol * norm + rounding
        )
        true = np.linalg.norm(matrix @ vectors - vectors * values, axis=0)
        assert (true <= 1.01 * pairs.residuals[i] + rounding).all()
        assert (pairs.residuals[i] <= tol * norm + rounding).all()
        assert np.abs(vectors.T @ vectors - np.eye(k)).max() < 1e-12
        key = -np.abs(values) if which == "LM" else values if which == "SA" else -values
        assert (np.diff(key) >= -rounding).all()
    assert pairs.converged.all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    d=st.integers(1, 40),
    n=st.integers(1, 5),
    which=st.sampled_from(["LA", "SA", "BE", "LM"]),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_any_stack_of_hostile_operators_is_solved_and_certified(
    d: int, n: int, which: Any, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    kinds = [np.zeros(d), rng.choice([-2.0, 0.0, 1.0, 1.0, 3.0], d), rng.standard_normal(d)]
    kinds.append(np.where(np.arange(d) < 4, kinds[2], 0.0))  # rank 4
    stack = np.stack([with_values(kinds[rng.integers(4)], rng) for _ in range(n)])
    k = data.draw(st.integers(1, d))
    pairs = eigsh_batch(stack, k, which, 1e-9, seed=seed)
    assert_right(pairs, stack, k, which, 1e-9)
    assert pairs.certified.all()


@pytest.mark.parametrize("which", ["LA", "SA", "BE", "LM"])
@pytest.mark.parametrize("k", [1, 2, D - 1, D])
@pytest.mark.parametrize(("name", "backend"), [("relu", "factor"), ("gelu", "native")])
def test_per_sample_hessians_have_the_eigenpairs_of_their_definition(
    name: str, backend: Any, k: int, which: Any
) -> None:
    net, rng = networks()[name], np.random.default_rng(SEED)
    inputs = torch.from_numpy(rng.standard_normal((5, D)))
    inputs[2] *= 1e6  # a saturated sample: its softmax is one-hot, its Hessian zero
    targets = torch.from_numpy(rng.integers(0, C, 5))
    each = hessians(net, inputs, targets, "cross_entropy", "labels")
    assert np.abs(each[2]).max() == 0
    hessian = InputHessian(net, (inputs, targets), average=False, backend=backend)
    pairs = eigsh_batch(hessian, k, which, 1e-8)
    assert pairs.route == ("factor" if backend == "factor" else "lanczos")
    assert_right(pairs, each, k, which, 1e-8)  # k above the rank C - 1 = 3 among them
    assert pairs.certified.all()
    assert (pairs.products.sum() == 0) == (backend == "factor")


def test_noisy_samples_are_the_mean_over_their_draws() -> None:
    net, rng = networks()["relu"], np.random.default_rng(SEED)
    inputs = torch.from_numpy(rng.standard_normal((3, D)))
    hessian = InputHessian(net, inputs, average=False, backend="factor", noise=0.3, draws=4)
    each = hessian @ np.tile(np.eye(D), (3, 1, 1))
    pairs = eigsh_batch(hessian, D, "LA", 1e-8)
    assert_right(pairs, (each + each.swapaxes(1, 2)) / 2, D, "LA", 1e-8)


def test_each_sample_has_the_answer_it_has_alone() -> None:
    rng = np.random.default_rng(SEED)
    stack = np.stack([with_values(rng.uniform(0, 1, 60) ** p, rng) for p in (1, 4, 12)])
    together = eigsh_batch(stack, 4, "LA", 1e-9)
    for i, matrix in enumerate(stack):
        alone = eigsh(matrix, 4, "LA", 1e-9)
        np.testing.assert_allclose(together.values[i], alone.values, atol=2e-9)
        overlap = np.abs(np.sum(together.vectors[i] * alone.vectors, axis=0))
        np.testing.assert_allclose(overlap, 1.0, atol=1e-6)  # residual over gap, squared


def test_samples_of_any_size_are_solved_to_the_same_bits() -> None:
    exponents = np.array([-940, -600, 0, 333, 0, 990])
    spectrum = np.concatenate([np.linspace(-1.0, 1.0, 12), [5.0, 7.0, 7.0, 9.0]])
    stack = np.stack([with_values(spectrum, np.random.default_rng(SEED + i)) for i in range(6)])
    stack[4] = 0.0

    def solved(matrices: Stack) -> EigenpairsBatch:
        return eigsh_batch((lambda v: matrices @ v, matrices.shape[:2]), 4, "LM", 1e-8)

    one, other = solved(stack), solved(np.ldexp(stack, exponents[:, None, None]))
    by_sample = exponents[:, None]
    assert np.array_equal(other.values, np.ldexp(one.values, by_sample))
    assert np.array_equal(other.residuals, np.ldexp(one.residuals, by_sample))
    assert np.array_equal(other.norm, np.ldexp(one.norm, exponents))
    assert np.array_equal(other.vectors, one.vectors)
    assert other.certified.all()
    assert not other.values[4].any()


def test_a_finished_sample_is_no_longer_counted_and_one_call_serves_all() -> None:
    rng = np.random.default_rng(SEED)
    stack = np.stack([np.zeros((80, 80)), with_values(rng.uniform(0, 1, 80), rng)])
    seen: list[Stack] = []

    def product(v: Stack) -> Stack:
        seen.append(v.copy())
        return stack @ v

    pairs = eigsh_batch((product, (2, 80)), 3, "LA", 1e-8)
    assert pairs.products[0] == 4  # three zeros, and one column that shows nothing is left
    assert pairs.products[1] == pairs.calls == len(seen)
    assert all(v.shape == (2, 80, 1) for v in seen)
    assert all((v[0] == 0).all() == (j >= 4) for j, v in enumerate(seen))


@pytest.mark.parametrize("limit", [0.5, 0.2])
def test_certificates_are_wrong_no_oftener_than_they_say(limit: float) -> None:
    # A double eigenvalue, of which one chain sees one copy, and a close value in its place.
    values, n = np.concatenate([np.linspace(0, 1, 150), [1.199], [1.2] * 2]), 300
    pairs = eigsh_batch(
        (lambda v: values[:, None] * v, (n, len(values))), 2, "LA", 1e-8, miss_probability=limit
    )
    assert pairs.certified.all()
    missed = int((pairs.values[:, -1] < 1.1995).sum())
    # At most the stated share, plus three standard errors of the binomial.
    assert missed <= n * limit + 3 * (n * limit * (1 - limit)) ** 0.5
    assert missed > 0  # else this test shows nothing


def test_single_precision_reaches_its_tolerance() -> None:
    rng = np.random.default_rng(SEED)
    stack = np.stack([with_values(rng.uniform(0, 1, 90) ** 3, rng) for _ in range(3)])
    pairs = eigsh_batch(stack.astype(np.float32), 3, "LA", 1e-5)
    assert pairs.vectors.dtype == np.float32
    for i, matrix in enumerate(stack):
        np.testing.assert_allclose(pairs.values[i], wanted(matrix, 3, "LA"), atol=3e-5)
    assert pairs.certified.all()


def test_spent_budget_raises_with_the_partial_result() -> None:
    stack = np.stack([np.diag(np.linspace(0.0, 1.0, 300)), np.zeros((300, 300))])
    with pytest.raises(NotConverged, match="1 of 2 operators") as caught:
        eigsh_batch(stack, 3, "LA", 1e-10, max_products=20)
    partial = caught.value.partial
    assert isinstance(partial, EigenpairsBatch)
    assert partial.converged.tolist() == [False, True]
    assert not partial.certified[0]
    assert partial.products.max() == 20
    # Ritz values lie below the truth, by interlacing.
    assert (partial.values[0] <= np.linspace(0.0, 1.0, 300)[:-4:-1] + 1e-12).all()
    again = eigsh_batch(stack, 3, "LA", 1e-10, max_products=20, partial=True)
    np.testing.assert_array_equal(again.values, partial.values)


def test_what_the_certificate_cannot_settle_is_not_certified() -> None:
    pairs = eigsh_batch(np.diag(np.linspace(0.0, 1.0, 1000))[None], 3, "LA", 1e-9)
    np.testing.assert_allclose(pairs.values[0], np.linspace(0.0, 1.0, 1000)[:-4:-1], atol=1e-8)
    assert pairs.converged.all()
    assert not pairs.certified.any()


def test_unusable_operators_are_refused() -> None:
    rng = np.random.default_rng(SEED)
    ok, crooked = with_values(rng.uniform(0, 1, 30), rng), rng.standard_normal((30, 30))
    with pytest.raises(ArgumentError, match="sample 1 is not symmetric"):
        eigsh_batch(np.stack([ok, crooked]), 3)
    with pytest.raises(NonFinite, match="NaN or Inf for sample 1"):
        eigsh_batch(np.stack([ok, np.full((30, 30), np.nan)]), 3)
    for shape in [(30, 30), (2, 30, 29), (0, 30, 30), (2, 0, 0)]:
        with pytest.raises((ShapeError, ArgumentError)):
            eigsh_batch(np.zeros(shape), 1)
    with pytest.raises(ShapeError, match="keep the shape"):
        eigsh_batch((lambda v: v[:, :-1], (2, 30)), 3)
    for size in [30, (2,), (2, -1), (2.0, 30)]:
        with pytest.raises(ArgumentError, match="positive integers"):
            eigsh_batch((lambda v: v, size), 1)
    net, inputs = networks()["relu"], torch.from_numpy(rng.standard_normal((2, D)))
    with pytest.raises(ArgumentError, match="average=False"):
        eigsh_batch(InputHessian(net, inputs), 1)
    with pytest.raises(ArgumentError, match="use eigsh_batch"):
        eigsh(InputHessian(net, inputs, average=False), 1)


@pytest.mark.parametrize(
    "bad",
    [
        {"k": 0},
        {"k": 31},
        {"k": 2.0},
        {"which": "SM"},
        {"tol": 1e-20},
        {"tol": 1.0},
        {"seed": -1},
        {"max_products": 2},
        {"miss_probability": 0.0},
    ],
)
def test_options_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        eigsh_batch(np.zeros((2, 30, 30)), **{"k": 3, **bad})
