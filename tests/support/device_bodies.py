"""Runs the bodies of the CUDA kernels on the processor, under AddressSanitizer and UBSan."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
SENTINEL = -777.0
FLAGS = [
    *("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
]


def compiler() -> str | None:
    """The C++ compiler of this machine, None without one."""
    return next(
        filter(None, map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++"))), None
    )


def compile_bodies(folder: Path) -> Path:
    program = folder / "host_bodies"
    include = [f"-I{ROOT / part}" for part in ("cpp/include", "cuda")]
    source = ROOT / "tests/device/host_bodies.cpp"
    command = [str(compiler()), *FLAGS, *include, str(source), "-o", str(program)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"LD_PRELOAD": ""})
    return program


@dataclass
class Matrix:
    """A column-major matrix with room between its columns and before its first number."""

    values: NDArray[Any]
    gap: int = 0  # numbers between the columns
    offset: int = 0  # numbers before the first one: other than a whole pack, nothing is aligned

    def request(self) -> bytes:
        rows, cols = self.values.shape
        return f"{rows} {cols} {rows + self.gap} {self.offset}\n".encode() + self.buffer().tobytes()

    def buffer(self) -> NDArray[Any]:
        rows, cols = self.values.shape
        if rows == 0 or cols == 0:
            return np.zeros(0, self.values.dtype)
        stride = rows + self.gap
        buffer = np.full(self.offset + stride * cols, SENTINEL, self.values.dtype)
        inside = buffer[self.offset :].reshape(cols, stride).T
        inside[:rows] = self.values
        return buffer[: len(buffer) - self.gap]

    def read(self, raw: bytes) -> NDArray[Any]:
        """The matrix that came back; what lies around it must be as it was."""
        rows, cols = self.values.shape
        buffer = np.frombuffer(raw, self.values.dtype)
        if buffer.size == 0:
            return np.zeros((rows, cols), self.values.dtype)
        padded = np.concatenate([buffer, np.full(self.gap, SENTINEL, buffer.dtype)])
        inside = padded[self.offset :].reshape(cols, rows + self.gap).T
        assert np.all(padded[: self.offset] == SENTINEL)
        assert np.all(inside[rows:] == SENTINEL)
        return inside[:rows].copy()


NOTHING = Matrix(np.zeros((0, 0)))


def run(
    program: Path, routine: str, dtype: Any, numbers: Sequence[object], matrices: Sequence[Matrix]
) -> list[NDArray[Any]]:
    """Every matrix after the routine ran; an error of the routine is a RuntimeError."""
    bits = np.dtype(dtype).itemsize * 8
    line = " ".join(map(str, [routine, bits, *numbers])) + "\n"
    request = line.encode() + b"".join(m.request() for m in matrices)
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0", "LD_PRELOAD": ""}
    done = subprocess.run(
        [program], check=False, input=request, capture_output=True, env=environment
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode())
    out, at = [], 0
    for m in matrices:
        size = m.buffer().nbytes
        out.append(m.read(done.stdout[at : at + size]))
        at += size
    assert at == len(done.stdout)
    return out


def compile_twin(folder: Path) -> Any:
    """Build and import the bindings of hessay._cuda over host loops, with torch's copy of pybind11.

    With sanitizers where the interpreter was started with theirs, as tools/sanitize.sh does.
    """
    import torch

    sources = [
        ROOT / path
        for path in (
            *("tests/device/host_twin.cpp", "cuda/cuda_array.cpp"),
            *(
                f"cuda/bind_{part}.cpp"
                for part in ("factor", "hvp", "kernels", "lanczos", "stepwise")
            ),
            # what a solver has on the host
            *(f"cpp/src/{part}.cpp" for part in ("certificate", "context", "primitives", "ritz")),
            "cpp/bindings/blas_from_scipy.cpp",
        )
    ]
    library = folder / f"cuda_host_twin{sysconfig.get_config_var('EXT_SUFFIX')}"
    system = [Path(torch.__file__).parent / "include", sysconfig.get_path("include")]
    command = [
        *(str(compiler()), "-std=c++17", "-O0", "-Wall", "-Wextra", "-Werror"),
        *("-fPIC", "-shared", "-fvisibility=hidden", "-DHESSAY_HOST_TWIN"),
        *(FLAGS[-2:] if "libasan" in os.environ.get("LD_PRELOAD", "") else ()),
        *(f"-I{ROOT / part}" for part in ("cpp/include", "cuda")),
        *(f"-isystem{path}" for path in system),
        *map(str, sources),
        *("-o", str(library)),
    ]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"LD_PRELOAD": ""})
    spec = importlib.util.spec_from_file_location("cuda_host_twin", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
