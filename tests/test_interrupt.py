"""Long native calls leave other threads running, and end when the user presses Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import numpy as np

from hessay import _core
from hessay.spectrum import eigsh

SOLVE_FOR_MINUTES = """
import numpy as np
from hessay.spectrum import eigsh
matrix = np.diag(1.0 - 1e-9 * np.arange(3000.0) ** 2)
print("ready", flush=True)
eigsh(matrix, 8, "LA", 1e-14, max_products=10**9)
"""
GRAM_FOR_MINUTES = """
import numpy as np
from hessay import _core
x = np.ones((40000, 1500), order="F", dtype=np.float32)
out = np.empty((1500, 1500), order="F")
print("ready", flush=True)
while True:
    _core.gram(x, out)
"""
PRODUCTS_ON_THREADS_FOR_MINUTES = """
import numpy as np
from hessay import _core
x = np.ones((20000, 64))
layers = [(np.ones((256, 64)) / 64, None, "tanh", 0.0, 0, -1),
          (np.ones((256, 256)) / 256, None, "tanh", 0.0, 1, 1),
          (np.ones((8, 256)) / 256, None, "identity", 0.0, 2, -1)]
hessian = _core.LossHessian64(layers, x, np.zeros((20000, 8)), "mse", 1.0, 3)
v, out = np.ones((64, 400), order="F"), np.ones((64, 400), order="F")
print("ready", flush=True)
while True:
    hessian.apply(v, out)
"""


def seconds_to_stop(script: str) -> tuple[float, str]:
    # A test run in the background of a shell ignores Ctrl-C, and its children would too.
    hearing = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", hearing + script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    start = time.perf_counter()
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    return time.perf_counter() - start, errors


def test_ctrl_c_ends_a_solve_within_a_block_step() -> None:
    seconds, errors = seconds_to_stop(SOLVE_FOR_MINUTES)
    assert "KeyboardInterrupt" in errors
    assert seconds < 10  # a block step takes milliseconds; the rest is a loaded machine


def test_ctrl_c_ends_all_threads_of_a_kernel() -> None:
    seconds, errors = seconds_to_stop(PRODUCTS_ON_THREADS_FOR_MINUTES)
    assert "KeyboardInterrupt" in errors
    assert seconds < 10


def test_ctrl_c_ends_a_kernel_between_panels() -> None:
    seconds, errors = seconds_to_stop(GRAM_FOR_MINUTES)
    assert "KeyboardInterrupt" in errors
    assert seconds < 10


def test_other_threads_run_while_a_kernel_works() -> None:
    x = np.ones((30000, 600), order="F", dtype=np.float32)
    out = np.empty((600, 600), order="F")
    done, ticks = threading.Event(), 0
    worker = threading.Thread(target=lambda: (_core.gram(x, out), done.set()))
    worker.start()
    while not done.is_set():
        ticks += 1
        time.sleep(0.001)
    worker.join()
    assert ticks > 5
    assert out[0, 0] == 30000.0


def test_solves_in_two_threads_do_not_disturb_each_other() -> None:
    matrices = [np.diag(np.arange(200.0)), np.diag(np.arange(200.0)[::-1] * 2)]
    results: list[list[float]] = [[], []]

    def solve(which: int) -> None:
        for _ in range(20):
            values = eigsh(matrices[which], 2, "LA", 1e-10).values
            results[which].append(float(values[0]))

    threads = [threading.Thread(target=solve, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(results[0], 199.0, rtol=1e-9)
    np.testing.assert_allclose(results[1], 398.0, rtol=1e-9)
