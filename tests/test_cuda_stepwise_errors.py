"""What stepwise selection says when a device, or what is given to it, does not serve.

Run on the processor as in test_cuda_stepwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hessay.errors import ArgumentError, DeviceError, NonFinite, ShapeError
from hessay.hessian.device import module as device_module
from hessay.stepwise import FittedRows, stepwise_path
from hessay.stepwise import design as design_module
from hessay.stepwise import device as passes_module
from hessay.stepwise.device import DevicePasses
from hessay.stepwise.streaming import panels_of

SEED = 34


def numbers(n: int, p: int) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng([SEED, n, p])
    x = rng.standard_normal((n, p))
    return x, x[:, :1] + 0.3 * rng.standard_normal((n, 1))


@pytest.mark.usefixtures("here")
def test_what_is_wrong_with_x_is_said_as_on_the_processor() -> None:
    x, y = numbers(50, 4)
    x[17, 2] = np.nan
    with pytest.raises(NonFinite, match="X holds nan in row 17, column 2"):
        stepwise_path(torch.from_numpy(x), y)
    for spoiled, words in (
        (np.inf, r"y holds inf in row 9, output 0 \(1 such"),
        (1e200, "overflows"),
    ):
        wrong = y.copy()
        wrong[9, 0] = spoiled
        with pytest.raises((NonFinite, ArgumentError), match=words):
            stepwise_path(torch.from_numpy(np.ones_like(x)), wrong)
    with pytest.raises(ShapeError, match=r"X must have shape \(n, p\), got \(50,\)"):
        stepwise_path(torch.from_numpy(x[:, 0]), y)
    with pytest.raises(ShapeError, match=r"real numbers, got dtype torch\.complex128"):
        stepwise_path(torch.from_numpy(x + 0j), y)
    with pytest.raises(ArgumentError, match=r"device must name a CUDA device.*got 'meta'"):
        stepwise_path(x, y, device="meta")
    with pytest.raises(ArgumentError, match="device must name a CUDA device, got 'gpu7'"):
        stepwise_path(x, y, device="gpu7")
    ones = torch.ones((6, 2), dtype=torch.int32)
    assert stepwise_path(ones, np.arange(6.0)).support.size == 0


def test_a_tensor_on_another_device_than_the_one_named_is_refused(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes_module, "is_device", lambda _: True)
    with pytest.raises(DeviceError, match="X is on cpu and device is 'meta'; move X"):
        DevicePasses(torch.zeros((4, 2)), device="meta", double=True, max_bytes=None)
    assert here is device_module.load()


def test_without_the_module_it_is_said_what_to_do() -> None:
    x, y = numbers(20, 3)
    with pytest.raises(DeviceError, match=r"HESSAY_CUDA=ON|cannot be loaded|devices were found"):
        stepwise_path(x, y, device="cuda:99")


def test_what_a_callback_returns_is_checked(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here is not None
    x, y = numbers(20, 3)
    with monkeypatch.context() as patch:
        patch.setattr(DevicePasses, "read_rows", lambda _, which: np.zeros((len(which), 7)))
        with pytest.raises(ShapeError, match="read_rows must return an array of 20 by 3 numbers"):
            stepwise_path(torch.from_numpy(x), y)

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(DevicePasses, "gram_columns", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stepwise_path(torch.from_numpy(x), y, strategy="stream")


def test_panels_of_an_array_are_its_rows_in_order() -> None:
    x = np.arange(22.0).reshape(11, 2)[:, ::-1]
    for source in (x, torch.from_numpy(x.copy())):
        seen = [(first, part.clone()) for first, part in panels_of(source, 4, torch.device("cpu"))]
        assert [first for first, _ in seen] == [0, 4, 8]
        np.testing.assert_array_equal(torch.cat([part for _, part in seen]).numpy(), x)


def test_too_small_a_workspace_is_an_error_that_says_how_much(twin: Any) -> None:
    z = torch.zeros((5, 3), dtype=torch.float64).T
    out = torch.zeros((3, 3), dtype=torch.float64).T
    with pytest.raises(DeviceError, match="has 8 bytes and 256 are needed"):
        twin.stepwise_project(z, z, out, torch.zeros(1, dtype=torch.float64), 0)
    scratch = torch.zeros(twin.stepwise_project_scratch(3, 3, 5, False), dtype=torch.float64)
    with pytest.raises(ShapeError, match=r"products of \(3, 5\) and \(3, 5\) do not fit \(2, 3\)"):
        twin.stepwise_project(z, z, out[:2].T.contiguous().T, scratch, 0)


@pytest.mark.usefixtures("here")
def test_a_device_that_is_full_says_what_was_needed_and_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = numbers(600, 4)

    def full(*_: Any, **__: Any) -> Any:
        raise torch.cuda.OutOfMemoryError

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "contiguous", full)
        wide = torch.zeros((600, 8), dtype=torch.float64)
        wide[:, ::2] = torch.from_numpy(x)
        with pytest.raises(
            DeviceError, match=r"a panel of X takes 19,200 bytes .* lower max_bytes"
        ):
            stepwise_path(wide[:, ::2], y)
    there = torch.from_numpy(x)
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "new_empty", full)
        with pytest.raises(DeviceError, match=r"^y takes 4,800 bytes .* lower max_bytes"):
            stepwise_path(there, y)
    passes = DevicePasses(there, device=None, double=True, max_bytes=None)
    passes.begin(y, np.zeros(0), True)
    monkeypatch.setattr(torch.Tensor, "new_empty", full)
    with pytest.raises(DeviceError, match=r"a pass over X takes \d+ bytes .* lower max_bytes"):
        passes.measure(np.zeros(4), np.ones(4))


def test_what_does_not_read_a_device_says_how_to_go_on() -> None:
    class There:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

    assert design_module.lies_on_device(There())
    assert not design_module.lies_on_device(torch.zeros(2))
    assert not design_module.lies_on_device(np.zeros(2))
    assert not design_module.lies_on_device([1.0])
    with pytest.raises(DeviceError, match=r"X lies on a CUDA device.*pass X\.cpu\(\)\.numpy\(\)"):
        FittedRows(There(), np.zeros(3))  # type: ignore[arg-type]
