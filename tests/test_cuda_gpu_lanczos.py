"""The eigensolver of hessay._cuda on a device, against LAPACK and the core.

Needs a GPU; without one every test here is skipped with the reason.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cuda_device import Noted, module_or_reason, why_no_gpu
from hessay import InputHessian, eigsh
from hessay.errors import DeviceError
from hessay.hessian.device import module as device_module
from hessay.spectrum import Eigenpairs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(why_no_gpu() is not None, reason=why_no_gpu() or "there is one"),
]
SEED = 20273
BULK = np.random.default_rng(SEED).uniform(0.0, 1.0, 400)
CASES: dict[str, tuple[Any, int, Any]] = {
    "rank 6, asked for 10": (np.r_[[9.0, 7, 5, 3, 2, 1], np.zeros(114)], 10, "LA"),
    "multiplicity 10": (np.r_[np.full(10, 4.0), 3.0, BULK[:109]], 10, "LA"),
    "indefinite": (np.r_[[5.0, -4.5, 4, -3.5, 3], 0.3 * (BULK[:115] - 0.5)], 5, "LM"),
    "clustered": (np.r_[[8, 8 - 1e-4, 8 - 2e-4, 6, 6 - 1e-4, 6 - 2e-4], BULK[:131]], 6, "LA"),
    "zero": (np.zeros(60), 3, "LM"),
    "one by one": (np.array([-2.5]), 1, "LM"),
    "all of a small one": (BULK[:13], 13, "LA"),
}


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    found = Noted(module_or_reason())
    monkeypatch.setattr(device_module, "load", lambda: found)
    return found


def symmetric(eigenvalues: Any) -> NDArray[np.float64]:
    shape = (len(eigenvalues),) * 2
    basis, _ = np.linalg.qr(np.random.default_rng(SEED).standard_normal(shape))
    matrix = (basis * eigenvalues) @ basis.T
    return np.asarray((matrix + matrix.T) / 2)


def both_kinds(matrix: NDArray[np.float64], dtype: torch.dtype = torch.float64) -> list[Any]:
    tensor = torch.from_numpy(matrix).to("cuda", dtype)
    return [tensor, (tensor.__matmul__, tensor[0])]


def assert_right(pairs: Eigenpairs, eigenvalues: Any, k: int, which: str, tol: float) -> None:
    assert isinstance(pairs.vectors, Tensor)
    assert pairs.vectors.is_cuda
    vectors = pairs.vectors.cpu().numpy()
    matrix = symmetric(eigenvalues)
    key = np.abs(eigenvalues) if which == "LM" else eigenvalues
    wanted = np.sort(np.asarray(eigenvalues)[np.argsort(-key, kind="stable")[:k]])
    norm = np.abs(eigenvalues).max()
    rounding = 1e-12 * max(norm, 1e-300) * len(matrix) ** 0.5
    np.testing.assert_allclose(np.sort(pairs.values), wanted, rtol=0, atol=tol * norm + rounding)
    true = np.linalg.norm(matrix @ vectors - vectors * pairs.values, axis=0)
    assert (true <= tol * norm + rounding).all()
    assert np.abs(vectors.T @ vectors - np.eye(k)).max() < 1e-11
    assert pairs.converged


@pytest.mark.parametrize("block", [1, 2, 4, 8])
@pytest.mark.parametrize("case", CASES)
def test_eigenpairs_are_those_of_lapack(case: str, block: int) -> None:
    values, k, which = CASES[case]
    for operator in both_kinds(symmetric(values)):
        pairs = eigsh(operator, k, which, 1e-9, block=block)
        assert_right(pairs, values, k, which, 1e-9)
        assert pairs.certified


@pytest.mark.parametrize("block", [1, 4])
def test_the_same_seed_starts_from_the_same_block_as_the_core(block: int) -> None:
    matrix = symmetric(np.linspace(0.0, 1.0, 300))
    budget: dict[str, Any] = {"seed": 5, "block": block, "max_products": 6 * block, "partial": True}
    exact = eigsh(matrix, 4, "LA", 1e-9, **budget)
    for operator in both_kinds(matrix):
        found = eigsh(operator, 4, "LA", 1e-9, **budget)
        # logarithm and sine of the device differ in the last place, products in the order of sums
        np.testing.assert_allclose(found.values, exact.values, rtol=0, atol=1e-11)


def test_single_precision_reaches_its_tolerance() -> None:
    for operator in both_kinds(symmetric(np.r_[[9.0, 7, 5, 3], BULK[:297]]), torch.float32):
        pairs = eigsh(operator, 4, "LA", 1e-5)
        assert pairs.vectors.dtype == torch.float32
        np.testing.assert_allclose(pairs.values, [9, 7, 5, 3], rtol=0, atol=2e-4)
        assert pairs.certified


def test_steps_that_come_back_are_graphs_and_change_nothing(noted: Noted) -> None:
    values = np.r_[np.linspace(0, 1, 395), [1.1, 1.2, 1.3, 1.4, 1.5]]
    native, callback = both_kinds(symmetric(values))
    pairs = eigsh(native, 5, "LA", 1e-10, block=2, max_basis=16)
    assert noted.answers[-1]["replayed"] > pairs.stats.block_calls / 2
    assert_right(pairs, values, 5, "LA", 1e-10)
    again = eigsh(native, 5, "LA", 1e-10, block=2, max_basis=16)
    assert torch.equal(again.vectors, pairs.vectors)
    eigsh(callback, 5, "LA", 1e-10, block=2, max_basis=16)
    assert noted.answers[-1]["replayed"] == 0


def mlp(widths: list[int]) -> nn.Module:
    torch.manual_seed(SEED)
    steps: list[nn.Module] = []
    for before, after in pairwise(widths):
        steps += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*steps[:-1]).double()


def test_an_input_hessian_is_solved_on_its_device(noted: Noted) -> None:
    model, inputs = mlp([40, 64, 10]), torch.randn(200, 40).double()
    exact = eigsh(InputHessian(model, inputs, backend="native"), k=5, which="LA", tol=1e-9)
    there = InputHessian(model.to("cuda"), inputs, backend="native")
    found = eigsh(there, k=5, which="LA", tol=1e-9, max_basis=12)
    assert found.vectors.is_cuda
    assert noted.answers[-1]["replayed"] > 0
    # a residual of tol |A| moves an eigenvalue by at most as much
    np.testing.assert_allclose(found.values, exact.values, rtol=0, atol=2e-9 * exact.norm)
    warm = eigsh(there, k=5, which="LA", tol=1e-9, start=found)
    np.testing.assert_allclose(warm.values, exact.values, rtol=0, atol=2e-9 * exact.norm)


def test_two_threads_on_streams_of_their_own_do_not_disturb_each_other() -> None:
    values = np.r_[np.linspace(3, 2, 5), BULK]
    matrix = torch.from_numpy(symmetric(values)).to("cuda")
    wanted = eigsh(matrix, 5, "LA", 1e-8, max_basis=16)
    torch.cuda.synchronize()
    found: list[list[Eigenpairs]] = [[], []]

    def work(place: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            found[place] = [eigsh(matrix, 5, "LA", 1e-8, max_basis=16) for _ in range(5)]
        torch.cuda.synchronize()

    threads = [threading.Thread(target=work, args=(place,)) for place in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for solves in found:
        assert len(solves) == 5
        assert all(torch.equal(pairs.vectors, wanted.vectors) for pairs in solves)


def test_running_out_of_memory_names_what_helps_and_gives_everything_back() -> None:
    d = 1 << 24
    scale = torch.linspace(1, 2, d, dtype=torch.float64, device="cuda")[:, None]
    before = torch.cuda.memory_allocated()
    columns = torch.cuda.mem_get_info()[0] // (8 * d) + 8
    with pytest.raises(DeviceError, match=r"the basis .* takes [\d,]+ bytes .*; lower max_basis"):
        eigsh((lambda v: scale * v, scale), 5, max_basis=columns)
    assert torch.cuda.memory_allocated() == before
    assert eigsh((lambda v: scale * v, scale), 1, "LA", 1e-3).values[0] > 1.9


def test_products_that_leave_the_device_are_refused() -> None:
    like = torch.zeros(50, dtype=torch.float64, device="cuda")
    with pytest.raises(DeviceError, match="maps a tensor on cuda:0 to one on cpu"):
        eigsh((lambda v: v.cpu(), like), 2)
