"""What a scan costs: CPU time, peak memory and import time, measured in fresh processes.

    python bench/bench_scan.py [--repeats 5] [--data fashion-mnist|digits] [--arch ARCH] [--json FILE]

Trains one network (the 784-256-128-10 MLP unless told otherwise), then repeats, each in its own process and on
one thread: import of torch and hessay, one scan of 512 probes. The verdict is asserted to be the
same every time: a fast wrong answer is no result.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DEFAULT_ARCH = "mlp:784-256-128-10"  # the limits below are for it
LIMITS = {"scan_cpu_s": 1.0, "import_s": 0.5, "extra_peak_mb": 600.0}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def peak_mb() -> float:
    """Peak resident memory of this process so far, MB; getrusage would count its parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(folder: Path, arch: str) -> dict[str, Any]:
    """One scan in this process; everything it needs is imported first."""
    start = time.perf_counter()
    import hessay

    import_s = time.perf_counter() - start
    if "torch" in sys.modules:
        raise SystemExit("import hessay must not import torch")
    import torch

    torch.set_num_threads(1)
    torch_mb = peak_mb()
    import hessay._core
    import hessay.detector
    import hessay.loading

    model = hessay.load_model(folder / "model.safetensors", arch)
    probe = hessay.Probe.load(folder / "probe.npz")
    cpu, wall = time.process_time(), time.perf_counter()
    report = hessay.scan(model, probe)
    return {
        "import_s": import_s,
        "scan_cpu_s": time.process_time() - cpu,
        "scan_wall_s": time.perf_counter() - wall,
        "extra_peak_mb": peak_mb() - torch_mb,
        "verdict": str(report.verdict),
        "statistic": report.statistic,
        "seconds": dict(report.seconds),
    }


def prepare(folder: Path, data: str, arch: str) -> None:
    """Train the model, write it and its probe."""
    import numpy as np
    from safetensors.torch import save_file

    from hessay.training import load_dataset, train_classifier

    dataset = load_dataset(data)
    model = train_classifier(arch, dataset.train_inputs[:10000], dataset.train_targets[:10000])
    save_file(model.state_dict(), folder / "model.safetensors")
    np.savez(
        folder / "probe.npz",
        inputs=dataset.test_inputs[:512].numpy(),
        targets=dataset.test_targets[:512].numpy(),
    )


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--arch", default=DEFAULT_ARCH)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.arch)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arch = options.arch
        prepare(folder, options.data, arch)
        command = [sys.executable, __file__, "--child", name, "--arch", arch]
        runs = [
            json.loads(subprocess.check_output(command, env=os.environ | ONE_THREAD, text=True))
            for _ in range(options.repeats)
        ]
    assert len({(run["verdict"], run["statistic"]) for run in runs}) == 1, runs
    print(f"{arch}, 512 probes of {options.data}, one thread, {len(runs)} processes")
    print(f"verdict {runs[0]['verdict']}, statistic {runs[0]['statistic']:.4f}, every time")
    print(f"{'':16}{'median':>10}{'worst':>10}{'target':>10}")
    table = {}
    for key in ("import_s", "scan_cpu_s", "scan_wall_s", "extra_peak_mb"):
        values = [run[key] for run in runs]
        table[key] = {"median": statistics.median(values), "worst": max(values)}
        limit = LIMITS.get(key) if arch == DEFAULT_ARCH else None
        print(
            f"{key:16}{table[key]['median']:10.3f}{table[key]['worst']:10.3f}"
            f"{'' if limit is None else limit:>10}"
            f"{'' if limit is None or table[key]['median'] <= limit else '  MISSED'}"
        )
    if options.json:
        stamp = {"machine": platform.processor() or platform.machine(), "python": sys.version}
        options.json.write_text(json.dumps({"runs": runs, "table": table, **stamp}, indent=1))


if __name__ == "__main__":
    main()
