"""Peak memory of set-up and of a product, in fresh processes, over the stated formula.

    python -m hvp.memory MODEL BACKEND CACHE       (from the folder bench; prints JSON)

Resident memory is reset before and read after (``VmHWM``), so C++ and torch count; freed memory is given
back at once, so that nothing hides in what was there before. n probes, d inputs, h_l widths (the last is C), H = sum h_l, r = C - 1 rows of the factor a sample, 4 bytes a number:

=========  ==============================================  ==========================================
backend    set-up                                          product, k = 32
=========  ==============================================  ==========================================
native     n (H + C + [H, when smooth] + 2 H + d): slopes,  768 (2 H - C + [H]) + k (2 d + 4 h_1): a
           curvatures kept; a forward and a backward pass;  tile forward and back, tangents kept
           one copy of the probe                           when smooth; directions, result, sums
factor     n (r h_1 + r (h_2 + C) + 2 H + d): the factor,   n r k + k (2 d + 2 h_1)
           one more layer of its pass back, forward pass
factor,    2 n r d (parts, then joined) + the outputs of    n r k + 2 k d
conv. net  all modules for a chunk of probes + the two
           largest of them again, as gradients
=========  ==============================================  ==========================================
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hessay.hessian import frozen
from hessay.hessian.model.evaluate import chunk_rows
from hvp import ours
from hvp.problems import Problem, load_problem

TILE_COLUMNS, COLUMNS = 768, 32
GIVE_BACK = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
CASES = [("mlp_relu", "native"), ("mlp_gelu", "native"), ("mlp_relu", "factor"), ("cnn", "factor")]


@dataclass
class Peak:
    """MB above what was resident before."""

    model: str
    backend: str
    setup_mb: float
    setup_formula_mb: float
    product_mb: float
    product_formula_mb: float


def formula(problem: Problem, backend: str) -> tuple[float, float]:
    """Bytes of set-up and of a product, from the table above."""
    n, d, k, size = problem.n, problem.d, COLUMNS, problem.x.element_size()
    widths = [m.out_features for m in problem.model.modules() if isinstance(m, nn.Linear)]
    total, classes, rows = sum(widths), widths[-1], widths[-1] - 1
    if problem.kind == "cnn":
        setup = 2 * n * rows * d * size + _activations(problem)
        return setup, size * (n * rows * k + 2 * k * d)
    if backend == "native":
        smooth = 0 if problem.piecewise_linear else total
        setup = n * (total + classes + smooth + 2 * total + d)
        product = TILE_COLUMNS * (2 * total - classes + smooth) + k * (2 * d + 4 * widths[0])
        return size * setup, size * product
    setup = n * (rows * widths[0] + rows * (widths[1] + classes) + 2 * total + d)
    return size * setup, size * (n * rows * k + k * (2 * d + 2 * widths[0]))


def _activations(problem: Problem) -> float:
    """Bytes that a chunk of probes leaves in the graph, and the gradients in flight."""
    sizes: list[int] = []

    def keep(module: nn.Module, _: object, output: Tensor) -> None:
        if next(module.children(), None) is None:
            winners = 2 * isinstance(module, nn.MaxPool2d)  # an int64 beside every float
            if not isinstance(module, nn.Flatten | nn.Unflatten):
                sizes.append(output.nbytes * (1 + winners))

    handles = [module.register_forward_hook(keep) for module in problem.model.modules()]
    with torch.no_grad():
        problem.model(problem.x[: chunk_rows(problem.x)])
    for handle in handles:
        handle.remove()
    return sum(sizes) + sum(sorted(sizes)[-2:])


def _resident(field: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process, bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{field}:\s+(\d+)", status)[1])  # type: ignore[index]


def _start() -> int:
    """Reset the peak to what is resident now, and give that."""
    Path("/proc/self/clear_refs").write_text("5")
    return _resident("VmRSS")


def peak(name: str, backend: str, cache: Path) -> Peak:
    """Measure in this process."""
    torch.set_num_threads(1)
    problem = load_problem(name, cache, torch.float32)
    few = Problem(name, problem.model, problem.x[:4].clone(), problem.y[:4].clone())
    v = problem.directions(True, COLUMNS).numpy()
    with frozen(problem.model):
        expected = formula(problem, backend)
        ours.operator(few, backend, True, None) @ v  # what is loaded and compiled on first use
        before = _start()
        hessian = ours.operator(problem, backend, True, None)
        setup = _resident("VmHWM") - before
        before = _start()
        _ = hessian @ v
        product = _resident("VmHWM") - before
    mb = 1e-6
    return Peak(name, backend, setup * mb, expected[0] * mb, product * mb, expected[1] * mb)


def measure_peaks(models: list[str], cache: Path) -> list[Peak]:
    """Measure each case in its own process; none where the kernel keeps no such account."""
    if not Path("/proc/self/clear_refs").exists():
        return []
    bench = Path(__file__).resolve().parent.parent
    path = os.pathsep.join([str(bench), *filter(None, [os.environ.get("PYTHONPATH")])])
    peaks = []
    for name, backend in CASES:
        if name in models:
            command = [sys.executable, "-m", "hvp.memory", name, backend, str(cache)]
            printed = subprocess.check_output(
                command, env=os.environ | GIVE_BACK | {"PYTHONPATH": path}, text=True
            )
            peaks.append(Peak(**json.loads(printed)))
    return peaks


if __name__ == "__main__":
    print(json.dumps(asdict(peak(sys.argv[1], sys.argv[2], Path(sys.argv[3])))))
