"""hessay on one CUDA device: ceilings of the card, kernels against their floors, products against torch.

    python bench/gpu/bench_gpu.py --json FILE [--quick]

Needs a GPU, torch for CUDA and hessay._cuda; bench/gpu/run.sh builds and checks that one before.
Times are medians of events on one stream; TF32 is off everywhere. Every product is compared with the
core's in double on a few samples, and a wrong one is an error. The JSON carries the card's name.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clock import Timing, timed
from hessay import InputHessian, eigsh
from ways import WAYS

SEED = 3
Rows = list[dict[str, Any]]


def stream() -> int:
    """Return torch's current stream as a number."""
    return int(torch.cuda.current_stream().cuda_stream)


def matrix(rows: int, cols: int) -> Tensor:
    """Draw a column-major matrix on the device."""
    return torch.randn(cols, rows, device="cuda").T


def room(doubles: int) -> Tensor:
    """Allocate a workspace."""
    return torch.empty(doubles, dtype=torch.float64, device="cuda")


def row(name: str, time: Timing, **facts: Any) -> dict[str, Any]:
    """Print one result, and return it for the JSON."""
    print(f"{name:<44}{time.seconds * 1e3:>10.3f} ms  {facts}", flush=True)
    return {"name": name, **asdict(time), **facts}


def ceilings(cuda: Any, quick: bool) -> tuple[Rows, float, float]:
    """Copy bandwidth in bytes/s and the rate of a large fp32 product in FLOP/s."""
    source = torch.empty((1 << 26) if quick else (1 << 28), device="cuda")
    target = torch.empty_like(source)
    copy = timed(lambda: target.copy_(source))
    bandwidth = 2 * source.numel() * 4 / copy.seconds
    n = 4096 if quick else 8192
    a, b, c = (matrix(n, n) for _ in range(3))
    scratch = room(cuda.blas_scratch())
    multiply = timed(lambda: cuda.gemm(False, False, 1.0, a, b, 0.0, c, scratch, stream()))
    rate = 2 * n**3 / multiply.seconds
    rows = [
        row("copy", copy, gb_per_s=bandwidth / 1e9),
        row(f"fp32 product {n}", multiply, tflop_per_s=rate / 1e12),
    ]
    return rows, bandwidth, rate


def kernels(cuda: Any, bandwidth: float, quick: bool) -> Rows:
    """Every fused kernel: bytes it must move, and the share of the copy's bandwidth it reaches."""
    h, n, k = 4096, 256 if quick else 2048, 16
    slope, curvature = matrix(h, n), matrix(h, n)
    x, other = matrix(h, n * k), matrix(h, n * k)
    pushed, sums = matrix(h, k), torch.zeros(k, h, dtype=torch.float64, device="cuda").T
    state = torch.softmax(torch.randn(n, 1000, device="cuda"), dim=1).T
    logits = matrix(1000, n * k)
    scratch = room(cuda.reduce_shared_scratch(h, k, n))
    full, factor, small = 4 * h * n * k, 4 * h * n, 4 * 1000 * n * k
    works: dict[str, tuple[int, Callable[[], None]]] = {
        "activate, slope and curvature kept": (
            4 * factor,
            lambda: cuda.activate(x[:, :n], slope, curvature, 3, 0.0, stream()),
        ),
        "scale_by_sample, copy kept": (
            3 * full + factor,
            lambda: cuda.scale_by_sample(slope, k, x, other, stream()),
        ),
        "tangent_backward_step": (
            3 * full + 2 * factor,
            lambda: cuda.tangent_backward_step(slope, curvature, other, k, x, stream()),
        ),
        "expand_shared": (full + factor, lambda: cuda.expand_shared(slope, pushed, x, stream())),
        "reduce_shared": (
            full + factor,
            lambda: cuda.reduce_shared(slope, x, sums, scratch, stream()),
        ),
        "cross_entropy_curvature, 1000 classes": (
            2 * small + 4 * 1000 * n,
            lambda: cuda.cross_entropy_curvature(state, k, 1.0, logits, stream()),
        ),
    }
    rows = []
    for name, (moved, work) in works.items():
        time = timed(work)
        share = moved / time.seconds / bandwidth
        rows.append(row(name, time, bytes=moved, share_of_copy=round(share, 3)))
    return rows


def products(rate: float, quick: bool) -> Rows:
    """Averaged products of a wide GELU network: the share of the card's rate, and torch's ways."""
    widths, n, k = (
        ([768, 1024, 1024, 100], 512, 8) if quick else ([3072, 4096, 4096, 1000], 4096, 32)
    )
    torch.manual_seed(SEED)
    model = nn.Sequential(
        *(nn.Linear(widths[0], widths[1]), nn.GELU(), nn.Linear(widths[1], widths[2]), nn.GELU()),
        nn.Linear(widths[2], widths[3]),
    )
    inputs = torch.randn(n, widths[0])
    classes = torch.randint(0, widths[-1], (n,))
    v = torch.randn(widths[0], k)
    few = slice(0, 64)
    exact = InputHessian(model.double(), (inputs[few].double(), classes[few]), backend="native")
    truth = exact @ v.double().numpy()
    model = model.float().to("cuda")
    there, labels, directions = inputs.to("cuda"), classes.to("cuda"), v.to("cuda")

    def right(found: Tensor) -> float:
        error = np.abs(found.cpu().double().numpy() - truth).max() / np.abs(truth).max()
        if not error < 1e-4:
            raise SystemExit(f"a product is wrong: relative error {error:.2g}")
        return float(error)

    # Both middle layers forward and backward for every sample and direction; the first for directions.
    inner = widths[1] * widths[2] + widths[2] * widths[3]
    flops = 2 * (2 * n * k * inner + 2 * k * widths[0] * widths[1])
    rows: Rows = []
    for backend in ("native", "tangent"):
        small = InputHessian(model, (inputs[few], classes[few]), backend=backend)
        error = right(small @ directions)
        operator = InputHessian(model, (inputs, classes), backend=backend)
        time = timed(lambda operator=operator: operator @ directions)
        share = flops / time.seconds / rate
        rows.append(row(f"product, {backend}", time, error=error, share_of_rate=round(share, 3)))
    for name, way in WAYS.items():
        try:
            error = right(way(model, there[few], labels[few], directions))
            time = timed(lambda way=way: way(model, there, labels, directions), repeats=3, warm=1)
        except (RuntimeError, torch.cuda.OutOfMemoryError) as failed:
            print(f"product, {name}: {failed}")
            rows.append({"name": f"product, {name}", "failed": str(failed)})
            continue
        rows.append(row(f"product, {name}", time, error=error))
    return rows


def factors(cuda: Any, bandwidth: float, quick: bool) -> Rows:
    """Multiply with a factor of image size, which has to be read twice."""
    d, columns, k = (15_000, 4_000, 16) if quick else (150_528, 4096 * 9, 16)
    b, v, out = matrix(d, columns), matrix(d, k), matrix(d, k)
    scratch = room(cuda.factor_apply_scratch(d, columns, k, False))
    time = timed(lambda: cuda.factor_apply(b, None, columns // 9, v, out, scratch, stream()))
    moved = 2 * 4 * d * columns
    wanted = b[:64].double() @ (b.T @ v).double() / (columns // 9)
    if not torch.allclose(
        out[:64].double(), wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max())
    ):
        raise SystemExit("the product with a factor is wrong")
    share = moved / time.seconds / bandwidth
    return [row("factor product, two passes", time, bytes=moved, share_of_copy=round(share, 3))]


def eigenpairs(quick: bool) -> Rows:
    """Find the top 20 of one operator: hessay's solver, torch.lobpcg, torch.linalg.eigh."""
    d, n = (500, 200) if quick else (3072, 2000)
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(d, 1024), nn.GELU(), nn.Linear(1024, 10)).to("cuda")
    operator = InputHessian(model, torch.randn(n, d), backend="native")
    dense = torch.from_numpy(operator.dense()).float().to("cuda")
    found = eigsh(operator, k=20, which="LA", tol=1e-4)
    wanted = torch.linalg.eigvalsh(dense.double())[-20:].flip(0).cpu().numpy()
    error = float(np.abs(found.values - wanted).max() / wanted[0])
    if not error < 1e-3:
        raise SystemExit(f"eigenvalues are wrong: relative error {error:.2g}")
    ours = timed(lambda: eigsh(operator, k=20, which="LA", tol=1e-4), repeats=3, warm=1)
    inside = found.stats.operator_seconds / found.stats.seconds
    return [
        row("eigsh, basis on the host", ours, share_in_products=round(inside, 3), error=error),
        row(
            "torch.lobpcg of the dense matrix", timed(lambda: torch.lobpcg(dense, k=20), repeats=3)
        ),
        row(
            "torch.linalg.eigh of the dense matrix",
            timed(lambda: torch.linalg.eigh(dense), repeats=3),
        ),
    ]


def main() -> None:
    """Measure everything and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that all of it runs"
    )
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("this torch finds no CUDA device; there is nothing to measure")
    torch.backends.cuda.matmul.allow_tf32 = False
    cuda = importlib.import_module("hessay._cuda")
    found = cuda.device_properties(0)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    results: dict[str, Any] = {
        "device": found,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        "quick": options.quick,
    }
    print(found["name"])
    results["ceilings"], bandwidth, rate = ceilings(cuda, options.quick)
    results["kernels"] = kernels(cuda, bandwidth, options.quick)
    results["products"] = products(rate, options.quick)
    results["factor"] = factors(cuda, bandwidth, options.quick)
    results["eigenpairs"] = eigenpairs(options.quick)
    results["peak_bytes"] = torch.cuda.max_memory_allocated()
    options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
