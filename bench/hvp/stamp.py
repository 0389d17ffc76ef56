"""The machine and the versions a table was measured on, and one thread for all libraries."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import hessay

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def on_one_thread() -> None:
    """Start this program again with one thread: BLAS libraries read that when they are loaded."""
    if any(os.environ.get(name) != "1" for name in THREAD_VARIABLES):
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    torch.set_num_threads(1)


def stamp() -> dict[str, str]:
    """Processor, cores, versions, commit, threads and load."""
    packages = ("torch", "numpy", "scipy", "curvlinops-for-pytorch", "hessian-eigenthings")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "load average": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
        "hessay": f"{hessay.__version__}, {_commit()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """Commit of the tree this file is in, and whether tracked files differ from it."""
    here = Path(__file__).resolve().parent
    try:
        commit = subprocess.check_output(
            ["git", "rev-parse", "--short", "HEAD"], cwd=here, text=True, stderr=subprocess.DEVNULL
        )
        changed = subprocess.call(["git", "diff", "--quiet", "HEAD"], cwd=here)
    except (OSError, subprocess.CalledProcessError):
        return "no commit known"
    return f"commit {commit.strip()}{', changed since' if changed else ''}"
