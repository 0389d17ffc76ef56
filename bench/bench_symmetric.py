"""Dense symmetric products from half the matrix, and what they do for Lanczos.

    python bench/bench_symmetric.py [--sizes 1000 4000 8000] [--lanczos 4000] [--rounds 5]

Two tables, one thread, medians of process CPU time in turns. Milliseconds a vector of A V for narrow
blocks, beside SciPy's gemv (one vector), gemm and symm and torch's matmul, with the rate at which half of A
is read; every result is compared with gemm's, and a plain read of as many bytes is timed first. Then
the ten largest eigenpairs of a spiked Wigner matrix, spikes far from the bulk (easy) and at its edge
(clustered), beside ARPACK; residuals of both are asserted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import blas
from scipy.sparse.linalg import eigsh as arpack

from hessay import _core
from hessay.spectrum import eigsh
from hvp.stamp import on_one_thread, stamp

SEED = 20263
Matrix = NDArray[Any]
Ways = Mapping[str, Callable[[], Any]]


def in_turns(ways: Ways, rounds: int) -> dict[str, float]:
    """Return each way's median CPU seconds, the ways taking turns."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if turn > 0:  # the first round warms up
                spent[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in spent.items()}


def read_rate() -> float:
    """Return GB/s of a plain sum over 256 MB, the best of five."""
    numbers = np.ones(1 << 25)
    times = [in_turns({"sum": lambda: float(numbers.sum())}, 1)["sum"] for _ in range(5)]
    return numbers.nbytes / min(times) / 1e9


def ways_to_multiply(a: Matrix, v: Matrix, out: Matrix) -> Ways:
    """Return the contenders; each writes or returns A V."""
    kind = "d" if a.dtype == np.float64 else "s"
    gemm, symm, gemv = (getattr(blas, kind + name) for name in ("gemm", "symm", "gemv"))
    a_torch, v_torch = torch.from_numpy(a.T), torch.from_numpy(v)  # a.T is A, row-major
    ways: dict[str, Callable[[], Any]] = {
        "hessay": lambda: _core.symmetric_product(a, v, out),
        "gemm": lambda: gemm(1.0, a, v),
        "symm": lambda: symm(1.0, a, v, lower=1),
        "torch": lambda: a_torch @ v_torch,
    }
    if v.shape[1] == 1:
        ways["gemv"] = lambda: gemv(1.0, a, v[:, 0])
    return ways


def products(sizes: list[int]) -> None:
    """Print milliseconds a vector."""
    print(f"instruction set {_core.instruction_set()}; plain read {read_rate():.1f} GB/s")
    names = ["hessay", "gemv", "gemm", "symm", "torch"]
    print("ms a vector      d    b" + "".join(f"{name:>9}" for name in names) + "  GB/s of half  x")
    rng = np.random.default_rng(SEED)
    for dtype in (np.float64, np.float32):
        for d in sizes:
            a = np.asfortranarray(rng.standard_normal((d, d), np.float32).astype(dtype))
            a += a.T.copy()
            for b in (1, 2, 4, 8, 16):
                v = np.asfortranarray(rng.standard_normal((d, b)).astype(dtype))
                out = np.empty_like(v)
                ways = ways_to_multiply(a, v, out)
                seconds = in_turns(ways, 5 if d > 2000 else 21)
                scale = np.abs(out).max()
                assert np.abs(out - ways["gemm"]()).max() <= d * np.finfo(dtype).eps * scale
                row = "".join(
                    f"{1e3 * seconds[name] / b:9.3f}" if name in seconds else f"{'-':>9}"
                    for name in names
                )
                rate = a.nbytes / 2 / seconds["hessay"] / 1e9
                best = min(seconds[name] for name in names[1:] if name in seconds)
                print(
                    f"{np.dtype(dtype).name:12}{d:6}{b:5}{row}{rate:14.1f}"
                    f"{best / seconds['hessay']:6.2f}"
                )


def spiked(d: int, spikes: NDArray[np.float64]) -> Matrix:
    """Return a Wigner matrix, bulk in [-2, 2], with eigenvalues near s + 1/s for spikes s > 1."""
    rng = np.random.default_rng(SEED)
    noise = rng.standard_normal((d, d))
    directions, _ = np.linalg.qr(rng.standard_normal((d, len(spikes))))
    a = noise / np.sqrt(2 * d) + directions * (spikes / 2) @ directions.T
    return np.asfortranarray(a + a.T)


def checked(a: Matrix, values: Matrix, vectors: Matrix, tol: float) -> None:
    """Assert residuals, for a fast wrong answer is no result."""
    residuals = np.linalg.norm(a @ vectors - vectors * values, axis=0)
    assert (residuals <= 2 * tol * np.abs(values).max()).all(), residuals


def lanczos(d: int, rounds: int, tol: float = 1e-8, k: int = 10) -> None:
    """Print CPU seconds of the ten largest eigenpairs."""
    print(f"ten largest eigenpairs, d = {d}, float64, tol {tol:g}: CPU seconds")
    for name, spikes in (
        ("easy", np.linspace(3.0, 8.0, k)),
        ("clustered", np.linspace(1.35, 1.6, k)),
    ):
        a = spiked(d, spikes)
        settings: list[dict[str, int]] = [{"block": 1}, {"block": 2}, {"block": 2, "max_basis": 80}]
        ours = {
            "hessay " + " ".join(f"{key}={n}" for key, n in chosen.items()): (
                partial(eigsh, a, k, "LA", tol, **chosen)
            )
            for chosen in settings
        }
        theirs = {
            f"arpack ncv={ncv}": partial(arpack, a, k, which="LA", tol=tol, ncv=ncv)
            for ncv in (21, 40)
        }
        values = np.sort(arpack(a, k, which="LA", tol=0)[0])
        for way in ours.values():
            pairs = way()
            checked(a, pairs.values, pairs.vectors, tol)
            assert np.abs(np.sort(pairs.values) - values).max() <= tol * values[-1]
        for way in theirs.values():
            checked(a, *way(), tol)
        seconds = in_turns({**ours, **theirs}, rounds)
        rival = min(seconds[each] for each in theirs)
        for each, spent in seconds.items():
            note = ""
            if each in ours:
                pairs = ours[each]()
                note = f"{rival / spent:6.2f}x  products {pairs.stats.products}, " + (
                    "certified" if pairs.certified else "miss probability above the limit"
                )
            print(f"{name:10} {each:28}{spent:8.3f}{note}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 4000, 8000])
    parser.add_argument("--lanczos", type=int, default=4000, help="size of the eigenproblems")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    on_one_thread()
    print(", ".join(f"{name} {value}" for name, value in stamp().items()))
    products(options.sizes)
    lanczos(options.lanczos, options.rounds)


if __name__ == "__main__":
    main()
