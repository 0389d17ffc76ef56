"""What watching costs: an idle watcher, and the scan of the next checkpoint of a series.

    python bench/bench_watch.py

A folder with 300 checkpoints that are scanned already, in the history; `hessay watch` is left alone, its CPU time and
resident memory are read from /proc. Then, with eight reference networks, the first scan of a moving series beside
the ones after it: products with the Jacobian (backward passes over the probe) and CPU time.
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
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from hessay._scan_file import FileScans, scan_file
from hessay.cli.watch import _settings
from hessay.detector import plan
from hessay.detector.measure import Measurement
from hessay.loading import build_architecture
from hessay.monitor import Folder
from hessay.references import train_references
from hessay.store import Store
from hessay.training import load_dataset, train_classifier

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
        line = store.series(
            str(run.resolve()), _settings(run, ARCH, probe, 0.01, None, "input", 0, None)
        )
        watched = Folder(run, settle_seconds=0)
        watched.look()
        for checkpoint in watched.look().ready or Folder(run, settle_seconds=0).look().ready:
            claim = store.claim(line, checkpoint.content, checkpoint.path.name)
            if claim is not None:
                store.finish(claim, report)
                store.told(claim.id)


def next_scans(folder: Path) -> list[tuple[int, float]]:
    """Backward passes and CPU seconds of scans of a model in training, references included."""
    data = load_dataset("digits", seed=1)
    rows = data.train_inputs[:500], data.train_targets[:500]
    train_references(rows, n=8, epochs=40).save(folder / "references.safetensors")
    probe = folder / "digits.npz"
    np.savez(probe, inputs=data.test_inputs[:512].numpy(), targets=data.test_targets[:512].numpy())
    passes: list[int] = []
    one = plan.measure

    def counted(*given: Any) -> Measurement:
        found = one(*given)
        assert found.measured is not None
        passes.append(found.measured.backward_passes)
        return found

    plan.measure = counted
    scans = FileScans(ARCH, probe, references=folder / "references.safetensors")
    spent = []
    for epochs in (20, 21, 22, 23, 24):
        model = train_classifier(ARCH, data.train_inputs, data.train_targets, epochs=epochs)
        save_file(model.state_dict(), folder / "next.safetensors")
        passes.clear()
        start = time.process_time()
        scans.scan(folder / "next.safetensors")
        spent.append((sum(passes), time.process_time() - start))
    plan.measure = one
    return spent


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
        command = [sys.executable, "-m", "hessay", "watch", "run", "--arch", ARCH]
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
    with tempfile.TemporaryDirectory() as name:
        spent = next_scans(Path(name))
    cold, later = spent[0], np.median(spent[1:], axis=0)
    print("a series of digits models, 8 references")
    print(f"{'':36}{'first':>10}{'next':>10}{'ratio':>8}{'target':>8}")
    print(
        f"{'products, backward passes':36}{cold[0]:10d}{later[0]:10.0f}{later[0] / cold[0]:8.2f}{1 / 3:8.2f}"
    )
    print(f"{'CPU, s':36}{cold[1]:10.2f}{later[1]:10.2f}{later[1] / cold[1]:8.2f}")


if __name__ == "__main__":
    main()
