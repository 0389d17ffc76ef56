"""``hessay doctor``: what is installed, and whether a scan can run."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

import hessay
from hessay._printable import printable
from hessay.cli.streams import emit, guarded
from hessay.errors import HessayError, NotConverged


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer."""

    name: str
    state: str  # "ok", "absent" (not needed to scan) or "FAILED"
    detail: str


def doctor(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Check the installation."""

    def body() -> int:
        checks = examine()
        width = max(len(check.name) for check in checks)
        lines = [f"{c.state:<7} {c.name:<{width}}  {printable(c.detail)}" for c in checks]
        failed = [check.name for check in checks if check.state == "FAILED"]
        lines.append("")
        lines.append(
            "hessay can scan." if not failed else f"hessay cannot scan: fix {', '.join(failed)}."
        )
        emit("\n".join(lines) + "\n")
        return 2 if failed else 0

    return guarded(body, debug=debug)


def examine() -> list[Check]:
    """Run every check; none of them raises."""
    needed: list[tuple[str, Callable[[], str]]] = [
        ("hessay", lambda: f"{hessay.__version__}, Python {platform.python_version()}"),
        ("numpy", lambda: importlib.metadata.version("numpy")),
        ("scipy", lambda: importlib.metadata.version("scipy")),
        ("BLAS", _blas),
        ("native core", _native_core),
        ("torch", lambda: str(importlib.import_module("torch").__version__)),
        ("safetensors", lambda: importlib.metadata.version("safetensors")),
        ("threads", _threads),
    ]
    optional: list[tuple[str, Callable[[], str]]] = [
        ("CUDA", _cuda),
        ("CUDA kernels", _cuda_kernels),
        ("jinja2", lambda: importlib.metadata.version("jinja2")),
        ("scikit-learn", lambda: importlib.metadata.version("scikit-learn")),
        ("Fashion-MNIST", _fashion_mnist),
    ]
    return [_check(*one, needed=True) for one in needed] + [
        _check(*one, needed=False) for one in optional
    ]


def _check(name: str, look: Callable[[], str], *, needed: bool) -> Check:
    try:
        return Check(name, "ok", look())
    except Exception as error:  # noqa: BLE001 - a damaged installation fails in every way there is
        words = str(error) if isinstance(error, HessayError) else f"{type(error).__name__}: {error}"
        return Check(name, "FAILED" if needed else "absent", words)


def _blas() -> str:
    scipy: Any = importlib.import_module("scipy")
    found = scipy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{found.get('name', 'unknown')} {found.get('version', '')}, through scipy".strip()


def _native_core() -> str:
    """Two eigenvalues of a known matrix, in a few milliseconds."""
    core = importlib.import_module("hessay._core")
    numpy: Any = importlib.import_module("numpy")
    eigsh = importlib.import_module("hessay.spectrum").eigsh
    expected = numpy.arange(32.0, 0.0, -1.0)
    start = time.perf_counter()
    values = eigsh(numpy.diag(expected), k=2, which="LA", tol=1e-12, seed=0).values
    milliseconds = 1000 * (time.perf_counter() - start)
    # Weyl: a residual of tol |A| moves an eigenvalue by no more than that; rounding adds less.
    if not numpy.allclose(values, expected[:2], rtol=0, atol=2e-12 * 32):
        raise NotConverged(f"self-check gave eigenvalues {values} instead of {expected[:2]}")
    return (
        f"self-check passed in {milliseconds:.1f} ms, {core.instruction_set()} kernels, "
        f"{core.__file__}"
    )


def _threads() -> str:
    torch: Any = importlib.import_module("torch")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS")
    return (
        f"torch uses {torch.get_num_threads()} on {usable} usable cores, OMP_NUM_THREADS "
        f"{'not set' if limit is None else limit}"
    )


def _cuda() -> str:
    torch: Any = importlib.import_module("torch")
    if not torch.cuda.is_available():
        raise HessayError("torch sees no CUDA device; scans run on the CPU")
    return f"{torch.cuda.get_device_name(0)}, torch built for CUDA {torch.version.cuda}"


def _cuda_kernels() -> str:
    module: Any = importlib.import_module("hessay.hessian.device.module").load()
    found = [module.device_properties(i) for i in range(module.device_count())]
    if not found:
        raise HessayError("built, but there is no CUDA device or no driver")
    return ", ".join(f"{d['name']} (sm_{d['major']}{d['minor']})" for d in found)


def _fashion_mnist() -> str:
    training = importlib.import_module("hessay.training")
    folder = training.FASHION_MNIST_FOLDER
    if not folder.is_dir():
        raise HessayError(f"no folder {folder}; apt-get install dataset-fashion-mnist")
    return str(folder)
