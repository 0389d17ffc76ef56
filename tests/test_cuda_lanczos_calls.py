"""What eigsh takes, refuses and gives back where the operator is on a device, on the processor.

Set up as in test_cuda_lanczos.py.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cuda_device import Noted
from device_eigen import assert_right, both_kinds, bulk, symmetric, wanted
from hessay.errors import ArgumentError, DeviceError, NonFinite, NotConverged, ShapeError
from hessay.hessian.device import module as device_module
from hessay.spectrum import Eigenpairs, eigsh, scipy_eigsh


@pytest.mark.usefixtures("there")
def test_bad_starts_are_refused() -> None:
    operator = torch.eye(30).double()
    with pytest.raises(ShapeError, match=r"d = 30.* got shape \(29, 2\)"):
        eigsh(operator, 2, start=torch.zeros(29, 2))
    with pytest.raises(ShapeError, match=r"got shape \(30, 0\)"):
        eigsh(operator, 2, start=np.zeros((30, 0)))
    with pytest.raises(ArgumentError, match="start must be real"):
        eigsh(operator, 2, start=torch.zeros(30, dtype=torch.complex64))
    with pytest.raises(NonFinite, match="start holds NaN"):
        eigsh(operator, 2, start=np.full(30, np.nan))


@pytest.mark.usefixtures("there")
def test_a_function_may_keep_and_change_what_it_is_given() -> None:
    matrix = symmetric(np.r_[[5.0, 4, 3], bulk(60)])
    tensor, kept = torch.from_numpy(matrix), []

    def product(v: Tensor) -> Tensor:
        kept.append(v)
        out = tensor @ v
        v.zero_()
        return out

    assert_right(eigsh((product, tensor[0]), 3, "LA", 1e-9), matrix, 3, "LA", 1e-9)
    assert all(bool((v == 0).all()) for v in kept)


@pytest.mark.usefixtures("there")
def test_a_function_may_differentiate() -> None:
    matrix = symmetric(np.r_[[5.0, 4, 3], bulk(60)])
    tensor, at = torch.from_numpy(matrix), torch.zeros(63, dtype=torch.float64, requires_grad=True)

    def product(v: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(at @ tensor @ at / 2, at, create_graph=True)
        return torch.stack(
            [torch.autograd.grad(gradient @ c, at, retain_graph=True)[0] for c in v.T]
        ).T

    assert_right(eigsh((product, at), 3, "LA", 1e-9), matrix, 3, "LA", 1e-9)


@pytest.mark.usefixtures("there")
def test_products_that_leave_the_device_or_the_shape_are_refused() -> None:
    like = torch.zeros(50, dtype=torch.float64)
    for product, error, words in [
        (lambda v: v.to("meta"), DeviceError, "maps a tensor on cpu to one on meta"),
        (lambda v: v.numpy(), DeviceError, "maps a tensor on cpu to one on ndarray"),
        (lambda v: v[:-1], ShapeError, r"maps \(50, 1\) to \(49, 1\); it must keep"),
        (lambda v: v.to(torch.complex128), ShapeError, "returned dtype torch.complex128"),
        (lambda v: v * torch.inf, NonFinite, "NaN or Inf in product number 1"),
        (lambda v: v.roll(1, 0), ArgumentError, "the operator is not symmetric"),
    ]:
        with pytest.raises(error, match=words):
            eigsh((product, like), 2)
    with pytest.raises(ArgumentError, match=r"k must lie in \[1, 50\]"):
        eigsh((lambda v: v, like), 51)
    with pytest.raises(ArgumentError, match="blocks must be float32 or float64"):
        eigsh((lambda v: v, like.half()), 2)


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_a_function_raises_comes_through(error: type[BaseException]) -> None:
    calls = []

    def product(v: Tensor) -> Tensor:
        calls.append(len(v))
        if len(calls) == 4:
            raise error("from the callback")
        return v * torch.arange(50)[:, None]

    with pytest.raises(error, match="from the callback"):
        eigsh((product, torch.zeros(50, dtype=torch.float64)), 2)


@pytest.mark.usefixtures("there")
def test_spent_budgets_and_cancelled_runs_return_what_there_is() -> None:
    matrix = symmetric(np.linspace(0.0, 1.0, 200))
    tensor = torch.from_numpy(matrix)
    with pytest.raises(NotConverged, match="raise max_products") as caught:
        eigsh(tensor, 5, "LA", 1e-12, max_products=20)
    partial = caught.value.partial
    assert isinstance(partial, Eigenpairs)
    assert partial.vectors.shape == (200, 5)
    assert (partial.values <= np.sort(wanted(matrix, 5, "LA"))[::-1] + 1e-12).all()
    nothing = eigsh(tensor, 5, progress=lambda at: at.products < 3, partial=True)
    assert nothing.stopped == "cancelled"
    assert nothing.vectors.shape == (200, 0)


@pytest.mark.parametrize("left", [0, 100_000])
def test_running_out_of_memory_names_what_helps_and_gives_everything_back(
    there: Noted, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """With no room for the basis, and with room for it but not for the workspace."""
    taken: list[weakref.ref[Tensor]] = []
    new_empty = Tensor.new_empty

    def full(tensor: Tensor, *size: Any, **options: Any) -> Tensor:
        out = new_empty(tensor, *size, **options)
        if out.numel() * out.element_size() > left:
            raise torch.cuda.OutOfMemoryError
        taken.append(weakref.ref(out))
        return out

    matrix = torch.from_numpy(symmetric(bulk(200)))
    monkeypatch.setattr(Tensor, "new_empty", full)
    what = "the workspace" if left else "the basis of the eigensolver"
    with pytest.raises(DeviceError, match=rf"{what} takes [\d,]+ bytes .*; lower max_basis"):
        eigsh(matrix, 5, max_basis=60)
    gc.collect()
    assert sum(held.numel() for held in (ref() for ref in taken) if held is not None) == 0
    assert there.answers == []


def test_scipys_call_gets_arrays(there: Noted) -> None:
    matrix = symmetric(np.r_[[5.0, 4, 3], bulk(60)])
    values, vectors = scipy_eigsh(torch.from_numpy(matrix), k=3, which="LA")
    assert isinstance(vectors, np.ndarray)
    np.testing.assert_allclose(values, [3, 4, 5], rtol=0, atol=1e-12)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, rtol=0, atol=1e-9)
    assert len(there.answers) == 1


def test_without_the_module_the_basis_is_on_the_processor_and_vectors_on_the_device(
    there: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise DeviceError("not built")

    monkeypatch.setattr(device_module, "load", missing)
    matrix = symmetric(np.r_[[5.0, 4, 3], bulk(60)])
    _, callback = both_kinds(matrix)
    assert_right(eigsh(callback, 3, "LA", 1e-9), matrix, 3, "LA", 1e-9)
    assert there.answers == []


@pytest.mark.usefixtures("there")
def test_a_sparse_matrix_on_the_device_is_solved_by_its_products() -> None:
    matrix = np.diag(np.r_[[5.0, -4, 3], 0.1 * bulk(60)])
    pairs = eigsh(torch.from_numpy(matrix).to_sparse(), 3, "LM", 1e-9)
    assert_right(pairs, matrix, 3, "LM", 1e-9)
