"""The CUDA module without a device: it links, loads, and says that there is nothing."""

from __future__ import annotations

import builtins
import importlib.util
import sys
from typing import Any

import numpy as np
import pytest

from hessay import cuda
from hessay.errors import DeviceError

built = pytest.mark.skipif(
    importlib.util.find_spec("hessay._cuda") is None,
    reason="hessay._cuda is not built: make cuda needs nvcc",
)


@built
def test_devices_are_listed_or_there_are_none() -> None:
    from hessay import _cuda

    found = cuda.devices()
    assert len(found) == _cuda.device_count()
    assert all(d.memory > 0 and d.multiprocessors > 0 for d in found)


@built
def test_an_array_of_the_processor_is_refused_before_a_device_is_touched() -> None:
    from hessay import _cuda

    fill: Any = _cuda.gaussian_fill  # type: ignore[attr-defined]
    with pytest.raises(DeviceError, match="x lives on DLPack device type 1"):
        fill(np.zeros((3, 2), order="F"), 1, 0, 0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("cannot import name '_cuda' from 'hessay'"), "HESSAY_CUDA=ON"),
        (ImportError("libcublas.so.13: cannot open shared object file"), "libcublas.*cuda13"),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, error: ImportError, words: str
) -> None:
    ordinary = builtins.__import__

    def refuse(
        name: str, globals_: Any = None, locals_: Any = None, names: Any = (), level: int = 0
    ) -> Any:
        if name == "hessay" and "_cuda" in (names or ()):
            raise error
        return ordinary(name, globals_, locals_, names, level)

    monkeypatch.delitem(sys.modules, "hessay._cuda", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DeviceError, match=words):
        cuda.devices()
