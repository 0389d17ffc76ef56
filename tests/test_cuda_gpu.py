"""What hessay._cuda computes on a device is what the core computes, on the same seeds.

Needs a GPU; without one every test here is skipped with the reason.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cuda_device import column_major, filled, module_or_reason, why_no_gpu
from hessay import InputHessian, _core
from hessay.errors import DeviceError
from hessay.hessian.device.module import columns
from hessay.stepwise import StepwiseRegression, stepwise_path

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(why_no_gpu() is not None, reason=why_no_gpu() or "there is one"),
]
SEED = 14
DTYPES = [torch.float32, torch.float64]
ACTIVATIONS = [nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.ELU]


def eps(dtype: torch.dtype) -> float:
    return float(torch.finfo(dtype).eps)


def stream() -> int:
    return int(torch.cuda.current_stream().cuda_stream)


def room(doubles: int) -> Tensor:
    return torch.empty(doubles, dtype=torch.float64, device="cuda")


@pytest.fixture
def cuda() -> Any:
    return module_or_reason()


def mlp(widths: list[int], activation: type[nn.Module] = nn.GELU) -> nn.Module:
    torch.manual_seed(SEED)
    steps: list[nn.Module] = []
    for before, after in pairwise(widths):
        steps += [nn.Linear(before, after), activation()]
    return nn.Sequential(*steps[:-1]).double()


def compare(model: nn.Module, inputs: Tensor, k: int, dtype: torch.dtype, **options: Any) -> None:
    """Device against the core in float64, averaged and per sample."""
    for average in (True, False):
        exact = InputHessian(model, inputs, backend="native", average=average, **options)
        there = InputHessian(
            model.to("cuda"), inputs, backend="native", average=average, dtype=dtype, **options
        )
        v = torch.randn((exact.n, exact.d, k), dtype=torch.float64)
        v = v[0] if average else v
        wanted = exact @ v.numpy()
        found = there @ v.to("cuda")
        assert found.is_cuda
        # sums of at most a few hundred terms a layer, three layers, there and back
        allowed = 2000 * eps(dtype) * float(np.abs(wanted).max())
        np.testing.assert_allclose(found.cpu().double().numpy(), wanted, rtol=0, atol=allowed)
        model.to("cpu")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_products_are_those_of_the_core(activation: type[nn.Module], dtype: torch.dtype) -> None:
    compare(mlp([33, 64, 31, 10], activation), torch.randn(70, 33).double(), 5, dtype)


@pytest.mark.parametrize(
    ("widths", "n", "k"), [([1, 1, 2], 1, 1), ([5, 2], 3, 2), ([257, 130, 64, 3], 129, 8)]
)
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "logistic"])
def test_products_of_odd_and_tiny_shapes(loss: Any, widths: list[int], n: int, k: int) -> None:
    compare(mlp(widths), torch.randn(n, widths[0]).double(), k, torch.float64, loss=loss)


def test_the_same_call_gives_the_same_bits() -> None:
    operator = InputHessian(
        mlp([64, 128, 10]).to("cuda"), torch.randn(500, 64).double(), backend="native"
    )
    v = torch.randn(64, 8, dtype=torch.float64, device="cuda")
    first = operator @ v
    assert all(torch.equal(operator @ v, first) for _ in range(5))


def test_two_streams_and_two_threads_do_not_disturb_each_other() -> None:
    model = mlp([64, 256, 10]).to("cuda")
    operator = InputHessian(model, torch.randn(300, 64).double(), backend="native")
    directions = [torch.randn(64, 4, dtype=torch.float64, device="cuda") for _ in range(2)]
    wanted = [operator @ v for v in directions]
    torch.cuda.synchronize()
    found: list[list[Tensor]] = [[], []]

    def work(place: int) -> None:
        own = torch.cuda.Stream()
        with torch.cuda.stream(own):
            found[place] = [operator @ directions[place] for _ in range(20)]
        own.synchronize()

    threads = [threading.Thread(target=work, args=(place,)) for place in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place in (0, 1):
        assert len(found[place]) == 20
        assert all(torch.equal(product, wanted[place]) for product in found[place])


def test_models_on_a_device_work_through_torch_by_default() -> None:
    model, inputs = mlp([12, 16, 4]), torch.randn(20, 12).double()
    wanted = InputHessian(model, inputs).dense()
    there = InputHessian(model.to("cuda"), inputs)
    np.testing.assert_allclose(there.dense(), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_directions_on_another_device_are_refused() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA device only")
    operator = InputHessian(mlp([5, 3]).to("cuda:0"), torch.randn(4, 5).double(), backend="native")
    with pytest.raises(DeviceError, match="directions are on cuda:1 and the operator on cuda:0"):
        operator @ torch.zeros(5, 1, dtype=torch.float64, device="cuda:1")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(
    "shape",
    [
        *((100_001, 37, k) for k in (1, 2, 3, 5, 16, 17)),
        *((1024, 1, 1), (1500, 8, 16), (4096, 700, 9), (150_528, 40, 1), (20_000, 3000, 16)),
    ],
)
def test_narrow_products(
    cuda: Any, dtype: torch.dtype, gap: int, flip: bool, shape: tuple[int, int, int]
) -> None:
    d, m, k = shape
    torch.manual_seed(SEED)
    a = torch.randn(d, m, dtype=dtype)
    op = a.T if flip else a
    b, c = torch.randn(op.shape[1], k, dtype=dtype), torch.randn(op.shape[0], k, dtype=dtype)
    left, right = column_major(a, gap=gap), column_major(b, gap=gap)
    scratch = room(cuda.blas_scratch(flip, d, m, k, dtype == torch.float32))
    exact, size = op.double() @ b.double(), op.double().abs() @ b.double().abs()
    allowed = (op.shape[1] + 2) * eps(dtype) * size
    out = filled((op.shape[0], k), dtype)
    cuda.gemm(flip, False, 1.0, left, right, 0.0, out, scratch, stream())
    assert bool(((out.cpu().double() - exact).abs() <= allowed).all())
    again = filled((op.shape[0], k), dtype)
    cuda.gemm(flip, False, 1.0, left, right, 0.0, again, scratch, stream())
    assert torch.equal(again, out)
    into = column_major(c, gap=gap)
    cuda.gemm(flip, False, -0.5, left, right, 2.0, into, scratch, stream())
    exact, allowed = 2 * c.double() - 0.5 * exact, allowed + 8 * eps(dtype) * c.double().abs()
    assert bool(((into.cpu().double() - exact).abs() <= allowed).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 7), (300, 17, 64)])
def test_dense_steps(cuda: Any, dtype: torch.dtype, gap: int, shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    torch.manual_seed(SEED)
    a, b = torch.randn(k, m, dtype=dtype), torch.randn(k, n, dtype=dtype)
    out = filled((m, n), dtype)
    left, right = column_major(a, gap=gap), column_major(b, gap=gap)
    cuda.gemm(True, False, 2.0, left, right, 0.0, out, room(cuda.blas_scratch()), stream())
    wanted = 2 * a.double().T @ b.double()
    size = 2 * a.double().abs().T @ b.double().abs()
    assert bool(((out.cpu().double() - wanted).abs() <= (k + 2) * eps(dtype) * size).all())

    gram = filled((m, m), torch.float64)
    scratch = room(cuda.gram_scratch(k, m, dtype == torch.float32))
    cuda.gram(left, gram, scratch, stream())
    wanted = a.double().T @ a.double()
    size = a.double().abs().T @ a.double().abs()
    assert bool(((gram.cpu() - wanted).abs() <= (k + 2) * 2.3e-16 * size).all())

    norms = filled((m, 1), torch.float64)[:, 0]
    cuda.column_norms(left, norms, room(cuda.column_norms_scratch(k, m)), stream())
    torch.testing.assert_close(norms.cpu(), a.double().norm(dim=0), rtol=1e-13, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (8193, 2)])
def test_random_numbers_are_those_of_the_core(
    cuda: Any, dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    wanted = np.zeros(shape, np.float64 if dtype == torch.float64 else np.float32, order="F")
    _core.gaussian_fill(wanted, 11)
    out = filled(shape, dtype)
    cuda.gaussian_fill(out, 11, 0, stream())
    # logarithm and sine of the device differ by a few ulp of double
    np.testing.assert_allclose(out.cpu().numpy(), wanted, rtol=8 * eps(dtype), atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_factor_is_applied(cuda: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(SEED)
    rows, lift, v = (torch.randn(s, dtype=dtype) for s in ((50, 120), (90, 50), (90, 3)))
    out = filled((90, 3), dtype)
    scratch = room(cuda.factor_apply_scratch(50, 120, 3, True))
    cuda.factor_apply(
        column_major(rows), column_major(lift), 4, column_major(v), out, scratch, stream()
    )
    b = lift.double() @ rows.double()
    wanted = b @ (b.T @ v.double()) / 4
    # four sums of up to 120 terms
    allowed = 500 * eps(dtype) * float(wanted.abs().max())
    torch.testing.assert_close(out.cpu().double(), wanted, rtol=0, atol=allowed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("widths", [[33, 64, 31, 10], [130, 20, 7], [1, 4, 2]])
def test_the_factor_is_that_of_the_core(
    widths: list[int], average: bool, dtype: torch.dtype
) -> None:
    model, inputs = mlp(widths, nn.LeakyReLU), torch.randn(70, widths[0]).double()
    exact = InputHessian(model, inputs, backend="factor", average=average)
    there = InputHessian(model.to("cuda"), inputs, backend="factor", average=average, dtype=dtype)
    assert "hessay's own kernels on cuda" in there.reason
    v = torch.randn((70, widths[0], 3), dtype=torch.float64)
    v = v[0] if average else v
    wanted = exact @ v.numpy()
    # sums of at most a hundred terms a layer, three layers, there and back
    allowed = 2000 * eps(dtype) * float(np.abs(wanted).max())
    found = there @ v.to("cuda")
    np.testing.assert_allclose(found.cpu().double().numpy(), wanted, rtol=0, atol=allowed)
    rows = exact.factor().rows
    size = 500 * eps(dtype) * float(np.abs(rows).max())
    np.testing.assert_allclose(there.factor().rows, rows, rtol=0, atol=size)
    if average:
        dense = there.dense()
        np.testing.assert_array_equal(dense, dense.T)
        wanted = exact.dense()
        allowed = 2000 * eps(dtype) * float(np.abs(wanted).max())
        np.testing.assert_allclose(dense, wanted, rtol=0, atol=allowed)


@pytest.mark.parametrize("strategy", ["auto", "gram", "stream", "prefetch"])
@pytest.mark.parametrize("layout", ["rows", "columns", "streamed"])
def test_stepwise_paths_are_those_of_the_processor(layout: str, strategy: Any) -> None:
    rng = np.random.default_rng(SEED)
    x = 3 + rng.standard_normal((5000, 40))
    y = x[:, :6] @ rng.standard_normal((6, 2)) + rng.standard_normal((5000, 2))
    wanted = stepwise_path(x, y, strategy=strategy)
    there = torch.from_numpy(x).cuda()
    if layout == "streamed":
        # room for the Gram columns of the core, but not for Z: panels of a few hundred rows
        room = 16 * 5000 * 2 + 40 * (2 * 8 * 256 + 4 * 512 + 8 * 12) + 200 * 40
        found = stepwise_path(x, y, strategy=strategy, device="cuda", max_bytes=room)
    else:
        given = there if layout == "rows" else there.T.contiguous().T
        found = stepwise_path(given, y, strategy=strategy)
    assert [s.columns for s in found.steps] == [s.columns for s in wanted.steps]
    assert len(found.steps) >= 6
    np.testing.assert_allclose(found.coef, wanted.coef, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.rss, wanted.rss, rtol=1e-9)


def test_stepwise_in_single_precision_chooses_the_same_columns() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((30_000, 30)).astype(np.float32)
    y = x[:, :5] @ np.linspace(2, 1, 5) + rng.standard_normal(30_000)
    wanted = StepwiseRegression(direction="forward").fit(x, y)
    found = StepwiseRegression(direction="forward").fit(torch.from_numpy(x).cuda(), y)
    np.testing.assert_array_equal(found.order_, wanted.order_)
    np.testing.assert_allclose(found.coef_, wanted.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        found.predict(torch.from_numpy(x).cuda()), wanted.predict(x), rtol=1e-6, atol=1e-6
    )


def test_running_out_of_memory_says_what_was_needed_and_what_helps() -> None:
    free = torch.cuda.mem_get_info()[0]
    x = torch.zeros((2, 4), device="cuda")
    with pytest.raises(DeviceError, match=r"takes [\d,]+ bytes on cuda.*free; use less"):
        columns(free, 1, x, what="too much", remedy="use less")
