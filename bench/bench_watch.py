"""What an idle watcher costs: share of a core, and memory beyond what torch takes.

    python bench/bench_watch.py

A folder with 300 checkpoints that are scanned already, in the history; `hessay watch` is left alone, its CPU time and
resident memory are read from /proc.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from hessay._scan_file import scan_file
from hessay.cli.watch import _settings
from hessay.loading import build_architecture
from hessay.monitor import Folder
from hessay.store import Store

ARCH = "mlp:64-32-10"
TARGET_CPU, TARGET_MB = 1.0, 150.0


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def cpu_seconds(pid: int) -> float:
    """CPU time a process has taken, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def prepare(folder: Path, n: int) -> None:
    """Write checkpoints, and a history in which all have the report of the first."""
    run = folder / "run"
    run.mkdir()
    torch.manual_seed(0)
    for i in range(n):
        save_file(build_architecture(ARCH).state_dict(), run / f"{i}.safetensors")
    inputs = np.random.default_rng(0).random((512, 64), dtype=np.float32)
    np.savez(folder / "probe.npz", inputs=inputs)
    probe = str(folder / "probe.npz")
    report = scan_file(run / "0.safetensors", ARCH, probe)
    with Store.open(folder / "hessay-history.db") as store:
        line = store.series(str(run.resolve()), _settings(ARCH, probe, 0.01, None, "input", 0))
        watched = Folder(run, settle_seconds=0)
        watched.look()
        for checkpoint in watched.look().ready or Folder(run, settle_seconds=0).look().ready:
            claim = store.claim(line, checkpoint.content, checkpoint.path.name)
            if claim is not None:
                store.finish(claim, report)
                store.told(claim.id)


def main() -> None:
    """Prepare, watch, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--checkpoints", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, options.checkpoints)
        bare = [sys.executable, "-c", "import torch, time; print(1, flush=True); time.sleep(600)"]
        with subprocess.Popen(bare, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            torch_mb = resident_mb(other.pid)
            other.kill()
        command = [sys.executable, "-m", "hessay.cli", "watch", "run", "--arch", ARCH]
        command += ["--data", str(folder / "probe.npz"), "--quiet"]
        with subprocess.Popen(command, cwd=folder) as watcher:
            time.sleep(30)  # settled, hashed, found in the history
            before, began = cpu_seconds(watcher.pid), time.monotonic()
            time.sleep(options.seconds)
            share = 100 * (cpu_seconds(watcher.pid) - before) / (time.monotonic() - began)
            memory = resident_mb(watcher.pid) - torch_mb
            watcher.send_signal(signal.SIGTERM)
    print(f"{options.checkpoints} checkpoints, a look every 10 s, {options.seconds:g} s")
    print(f"{'':36}{'measured':>10}{'target':>8}")
    print(f"{'idle, % of a core':36}{share:10.2f}{TARGET_CPU:8.1f}")
    print(f"{'memory beyond torch, MB':36}{memory:10.1f}{TARGET_MB:8.0f}")


if __name__ == "__main__":
    main()
