"""The eigensolver of hessay._cuda and the Python layer above it, on the processor.

Loops stand in the place of kernels, and CPU tensors count as those of a device. Steps that a device
captures in a graph are recorded and launched again here too. The oracles are LAPACK and the core.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cuda_device import Noted
from device_eigen import SEED, assert_right, both_kinds, bulk, symmetric
from hessay import InputHessian
from hessay.spectrum import eigsh

BLOCKS = [1, 2, 4, 8]
CASES: dict[str, tuple[Any, int, str]] = {
    "rank 6, asked for 10": (np.r_[[9.0, 7, 5, 3, 2, 1], np.zeros(114)], 10, "LA"),
    "multiplicity 10": (np.r_[np.full(10, 4.0), 3.0, bulk(109)], 10, "LA"),
    "indefinite": (np.r_[[5.0, -4.5, 4, -3.5, 3], 0.3 * (bulk(115) - 0.5)], 5, "LM"),
    "clustered": (np.r_[[8, 8 - 1e-4, 8 - 2e-4, 6, 6 - 1e-4, 6 - 2e-4], bulk(130)], 6, "LA"),
    "both ends": (np.r_[[8.0, 7, 6, -5, -4, -3], bulk(97)], 6, "BE"),
    "every value multiple": (np.repeat([3.0, 1.0, -2.0, 0.0], [11, 11, 11, 8]), 13, "LA"),
    "zero": (np.zeros(60), 3, "LM"),
    "one by one": (np.array([-2.5]), 1, "LM"),
    "two by two": (np.array([1.0, 1.0]), 2, "SA"),
    "all of a small one": (np.random.default_rng(3).standard_normal(13), 13, "LA"),
}


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("case", CASES)
def test_eigenpairs_are_those_of_lapack(case: str, block: int) -> None:
    values, k, which = CASES[case]
    matrix = symmetric(values)
    for operator in both_kinds(matrix):
        pairs = eigsh(operator, k, which, 1e-9, block=block)  # type: ignore[arg-type]
        assert_right(pairs, matrix, k, which, 1e-9)
        assert pairs.certified


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("block", BLOCKS)
def test_the_same_seed_starts_from_the_same_block_as_the_core(block: int) -> None:
    matrix = symmetric(np.linspace(0.0, 1.0, 300))
    budget = {"seed": 5, "block": block, "max_products": 6 * block, "partial": True}
    exact = eigsh(matrix, 4, "LA", 1e-9, **budget)  # type: ignore[arg-type]
    for operator in both_kinds(matrix):
        found = eigsh(operator, 4, "LA", 1e-9, **budget)  # type: ignore[arg-type]
        assert found.stats.products == exact.stats.products
        # Ritz values of the same Krylov space, unconverged: another start would change all digits
        np.testing.assert_allclose(found.values, exact.values, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.residuals, exact.residuals, rtol=1e-9)
        other = eigsh(operator, 4, "LA", 1e-9, **budget | {"seed": 6})  # type: ignore[arg-type]
        assert np.abs(other.values - exact.values).max() > 1e-6


@pytest.mark.parametrize("block", BLOCKS)
def test_a_solve_is_that_of_the_core_product_for_product(there: Noted, block: int) -> None:
    matrix = symmetric(np.r_[np.linspace(3, 2, 5), bulk(251)])
    exact = eigsh(matrix, 5, "LA", 1e-8, block=block, max_basis=40)
    found = eigsh(torch.from_numpy(matrix), 5, "LA", 1e-8, block=block, max_basis=40)
    assert found.stats.products == exact.stats.products
    assert found.stats.restarts == exact.stats.restarts
    assert found.certificate == exact.certificate
    assert found.miss_probability == pytest.approx(exact.miss_probability, rel=1e-3)
    np.testing.assert_allclose(found.values, exact.values, rtol=0, atol=1e-12)
    assert len(there.answers) == 1  # and the oracle is none of the twin's


def test_steps_that_come_back_are_launched_as_one(there: Noted) -> None:
    matrix = symmetric(np.r_[np.linspace(0, 1, 395), [1.1, 1.2, 1.3, 1.4, 1.5]])
    native, callback = both_kinds(matrix)
    pairs = eigsh(native, 5, "LA", 1e-10, block=2, max_basis=16)
    assert pairs.stats.restarts > 10
    assert there.answers[-1]["replayed"] > pairs.stats.block_calls / 2
    assert_right(pairs, matrix, 5, "LA", 1e-10)
    # somebody else's function may wait and allocate: nothing of it is recorded
    eigsh(callback, 5, "LA", 1e-10, block=2, max_basis=16)
    assert there.answers[-1]["replayed"] == 0


@pytest.mark.usefixtures("there")
def test_the_same_call_gives_the_same_bits() -> None:
    matrix = torch.from_numpy(symmetric(np.r_[np.linspace(3, 2, 5), bulk(151)]))
    first, second = (eigsh(matrix, 5, "LA", 1e-8, block=2, max_basis=16) for _ in range(2))
    assert first.stats.restarts > 0
    assert torch.equal(first.vectors, second.vectors)
    np.testing.assert_array_equal(first.values, second.values)


def test_a_check_that_widens_the_block_gets_a_wider_basis(there: Noted) -> None:
    matrix = symmetric(np.r_[np.full(12, 4.0), np.full(9, 2.0), bulk(60)])
    pairs = eigsh(torch.from_numpy(matrix), 12, "LA", 1e-9, block=1, max_basis=16)
    assert_right(pairs, matrix, 12, "LA", 1e-9)
    # a bound on what 16 columns take in double: the basis has grown, and says so
    assert pairs.stats.peak_bytes > 81 * 20 * 8
    assert len(there.answers) == 1


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("block", [1, 3])
def test_single_precision_reaches_its_tolerance(block: int) -> None:
    matrix = symmetric(np.r_[[9.0, 7, 5, 3], bulk(297)])
    for operator in both_kinds(matrix, torch.float32):
        pairs = eigsh(operator, 4, "LA", 1e-5, block=block)
        assert pairs.vectors.dtype == torch.float32
        np.testing.assert_allclose(pairs.values, [9, 7, 5, 3], rtol=0, atol=2e-4)
        gram = pairs.vectors.T @ pairs.vectors
        assert float((gram - torch.eye(4)).abs().max()) < 20 * np.finfo(np.float32).eps
        assert pairs.certified


@pytest.mark.usefixtures("there")
def test_warm_starts_of_either_side_save_products_on_the_other() -> None:
    matrix = symmetric(np.r_[np.linspace(12.0, 4.0, 10), 3 * bulk(290)])
    noise = symmetric(np.random.default_rng(1).standard_normal(300))
    moved = matrix + 0.01 * noise / np.linalg.norm(noise, 2)
    cold = eigsh(torch.from_numpy(moved), 10, "LA", 1e-9)
    for before in (eigsh(matrix, 10, "LA", 1e-9), eigsh(torch.from_numpy(matrix), 10, "LA", 1e-9)):
        for after in (torch.from_numpy(moved), moved):
            warm = eigsh(after, 10, "LA", 1e-9, start=before)
            np.testing.assert_allclose(warm.values, cold.values, rtol=0, atol=1e-8)
            searched = warm.stats.products - warm.stats.check_products
            assert searched < cold.stats.products - cold.stats.check_products
    dependent = np.c_[before.vectors.numpy(), before.vectors.numpy()[:, :2], np.zeros(300)]
    again = eigsh(torch.from_numpy(moved), 10, "LA", 1e-9, start=dependent, block=3)
    np.testing.assert_allclose(again.values, cold.values, rtol=0, atol=1e-8)


@pytest.mark.usefixtures("there")
def test_strides_of_a_matrix_do_not_matter() -> None:
    matrix = symmetric(np.r_[[5.0, 4, 3], bulk(58)])
    tensor = torch.from_numpy(matrix)
    wide = torch.full((122, 122), torch.nan, dtype=torch.float64)
    wide[::2, ::2] = tensor
    padded = torch.full((61, 70), torch.nan, dtype=torch.float64)
    padded[:, :61] = tensor
    for strided in (wide[::2, ::2], tensor.T, padded[:, :61], padded[:, :61].T):
        assert_right(eigsh(strided, 3, "LA", 1e-9), matrix, 3, "LA", 1e-9)


def mlp(widths: list[int]) -> nn.Module:
    torch.manual_seed(SEED)
    steps: list[nn.Module] = []
    for before, after in pairwise(widths):
        steps += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*steps[:-1]).double()


@pytest.mark.parametrize("max_bytes", [1, 2 << 30])
def test_an_input_hessian_is_solved_by_the_kernels_alone(
    there: Noted, on_twin: Callable[..., InputHessian], max_bytes: int
) -> None:
    model, inputs = mlp([40, 30, 10]), torch.randn(25, 40).double()
    exact = eigsh(InputHessian(model, inputs, backend="native"), 5, "LA", 1e-9)
    operator = on_twin(model, inputs, max_bytes=max_bytes)
    found = eigsh(operator, 5, "LA", 1e-9, max_basis=12)
    assert isinstance(found.vectors, Tensor)
    assert isinstance(exact.vectors, np.ndarray)
    assert found.stats.restarts > 2
    assert there.answers[-1]["replayed"] > 0
    assert operator.products == 0  # none of them went through Python
    # a residual of tol |A| moves an eigenvalue by at most as much
    np.testing.assert_allclose(found.values, exact.values, rtol=0, atol=2e-9 * exact.norm)
    dense = InputHessian(model, inputs, backend="native").dense()
    off = dense @ found.vectors.numpy() - found.vectors.numpy() * found.values
    assert np.linalg.norm(off, axis=0).max() <= 1.1e-9 * exact.norm
