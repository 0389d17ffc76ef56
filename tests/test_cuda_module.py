"""hessay._cuda without a device: it imports, counts none, and says so. Skipped where it is not built."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch

from cuda_device import module_or_reason
from hessay.errors import DeviceError, ShapeError
from hessay.hessian.device import module as device_module


@pytest.fixture
def cuda() -> Any:
    found = module_or_reason()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture
def no_device(cuda: Any) -> Any:
    if cuda.device_count() > 0:
        pytest.skip("this machine has a CUDA device")
    return cuda


def test_no_device_is_a_count_of_zero_and_no_error(no_device: Any) -> None:
    assert no_device.device_count() == 0
    with pytest.raises(DeviceError, match="CUDA failed while asking for the properties"):
        no_device.device_properties(0)


def test_an_operator_on_no_device_is_refused_in_words(no_device: Any) -> None:
    assert device_module.load() is no_device
    with pytest.raises(DeviceError, match=r"0 CUDA devices were found.*driver of CUDA 13"):
        device_module.require_device(torch.device("cuda", 0))


def test_a_solve_on_no_device_is_refused_in_words(no_device: Any) -> None:
    options = {"which": "LA", "tol": 1e-8, "block": 1, "max_basis": 0, "max_products": 0}
    options |= {"miss_probability": 1e-3, "max_seconds": 0.0, "progress": None, "seed": 0}
    with pytest.raises(DeviceError, match="CUDA failed while asking for the current device"):
        no_device.lanczos(
            lambda *_: None, 5, False, None, k=1, **options, start=None, device=0, stream=0
        )


def test_arrays_of_the_processor_are_refused(cuda: Any) -> None:
    here = torch.zeros(3, dtype=torch.float64)
    with pytest.raises(DeviceError, match=r"x lives on DLPack device type 1; move it"):
        cuda.gaussian_fill(here, 1, 0, 0)
    with pytest.raises(ShapeError, match="must be an array that speaks DLPack, got"):
        cuda.gaussian_fill([1.0], 1, 0, 0)


def test_scratch_is_counted_without_a_device(cuda: Any) -> None:
    library = cuda.blas_scratch()
    assert cuda.gram_scratch(100_000, 8, True) > cuda.gram_scratch(10, 8, True) > library
    assert cuda.column_norms_scratch(100_000, 8) > cuda.column_norms_scratch(10, 8) > 0
    one = cuda.factor_apply_scratch(100, 40, 1, False)
    assert cuda.factor_apply_scratch(100, 4000, 16, False) >= one + 4000 * 16 - 40 - 64


def test_the_stub_names_what_the_module_has(cuda: Any) -> None:
    stub = Path(device_module.__file__).parents[2] / "_cuda.pyi"
    kinds = (ast.FunctionDef, ast.ClassDef)
    named = {node.name for node in ast.parse(stub.read_text()).body if isinstance(node, kinds)}
    public = {name for name in dir(cuda) if not name.startswith("_")}
    assert {name for name in named if not name.startswith("_")} == public
