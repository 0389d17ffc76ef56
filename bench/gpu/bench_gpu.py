"""hessay on one CUDA device: ceilings of the card, kernels against their floors, other ways beside it.

    python bench/gpu/bench_gpu.py --json FILE [--size full|quick|tiny] [--only PART ...] [--skip PART ...]
                                  [--seconds 540] [--device cuda|cpu]

Needs torch for CUDA and hessay._cuda; bench/gpu/run.sh builds and checks that one before. Times are
medians of events on one stream; TF32 is off everywhere. Equal accuracy is asserted before anything is timed: a
wrong result ends the run. A part that raises is written down as failed, one for which no time is left as
skipped, and the JSON is written anew after every part. It carries the card's name, and every figure that has a
target says whether a full run on a card met it.

`--device cpu` runs the same script on the processor, with the twin of hessay._cuda that the tests build
(`--twin FILE`): to see that all of it runs to the end, never for its times.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import torch

from hessay.errors import HessayError
from hessay.hessian.device import module as device_module
from hessay.hessian.device import route
from hessay.stepwise import device as stepwise_device
from part_eigen import beside_torch, image_sized
from part_factor import factor_of_a_network, factor_of_image_size
from part_kernels import ceilings, kernels
from part_products import products
from part_scan import convolutional, transformer
from part_stepwise import selection
from setting import Setting

PARTS: dict[str, Callable[[Setting], None]] = {
    "kernels": kernels,
    "products": products,
    "factor": factor_of_image_size,
    "network": factor_of_a_network,
    "stepwise": selection,
    "eigen": image_sized,
    "eigen_beside_torch": beside_torch,
    "scan_resnet": convolutional,
    "scan_vit": transformer,
}
LEAST_SECONDS = 10.0  # a part is not begun with less


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--size", choices=("full", "quick", "tiny"), default="full")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a dry run")
    parser.add_argument(
        "--twin", type=Path, help="the module's twin for cpu, as the tests build it"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--skip", nargs="+", choices=PARTS, default=[])
    parser.add_argument("--seconds", type=float, default=540.0, help="for all of it")
    return parser.parse_args()


def module_for(device: torch.device, twin: Path | None) -> Any:
    """Load hessay._cuda, or its twin in its place."""
    if device.type == "cuda":
        if not torch.cuda.is_available():
            sys.exit("this torch finds no CUDA device; `--device cpu --twin FILE` is a dry run")
        return importlib.import_module("hessay._cuda")
    if twin is None:
        sys.exit("--device cpu needs --twin, the module that tests/support/device_bodies.py builds")
    spec = importlib.util.spec_from_file_location("cuda_host_twin", twin)
    if spec is None or spec.loader is None:
        sys.exit(f"{twin} is no module")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    device_module.load = lambda: found  # type: ignore[assignment]
    for place in (route, stepwise_device):
        place.is_device = lambda device: device.type == "cpu"  # type: ignore[attr-defined]
    return found


def run(name: str, part: Callable[[Setting], None], s: Setting) -> dict[str, Any]:
    """Run one part; what it found, and how it ended."""
    s.rows = []
    print(f"\n{name}, {s.left:.0f} s left", flush=True)
    if s.left < LEAST_SECONDS:
        return {"ended": "skipped: out of time", "rows": []}
    start, ended = time.monotonic(), "complete"
    try:
        part(s)
    except (RuntimeError, MemoryError, ValueError, HessayError) as failed:
        traceback.print_exc()
        ended = f"failed: {type(failed).__name__}: {str(failed)[:300]}"
    if s.device.type == "cuda":
        torch.cuda.empty_cache()
    return {"ended": ended, "seconds": time.monotonic() - start, "rows": s.rows}


def main() -> None:
    """Measure everything and write the JSON; the exit status is 1 where a part failed."""
    begun, options = time.monotonic(), arguments()
    device = torch.device(options.device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", 0)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    cuda = module_for(device, options.twin)
    found = cuda.device_properties(device.index or 0)
    stamp = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    results: dict[str, Any] = {
        "card": found["name"],
        "device": found,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": stamp.stdout.strip(),
        "size": options.size,
        "parts": {},
    }
    print(f"{found['name']}, {options.size} sizes")
    s = Setting(device, options.size, cuda, begun + options.seconds)
    for name, part in {"ceilings": ceilings, **PARTS}.items():
        if name != "ceilings" and (name not in options.only or name in options.skip):
            continue
        results["parts"][name] = run(name, part, s)
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    failed = [name for name, part in results["parts"].items() if part["ended"].startswith("failed")]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
