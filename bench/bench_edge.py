"""What a bulk fit and a Tracy-Widom p-value cost: 2000 eigenvalues, CPU time, medians.

    python bench/bench_edge.py [--repeats 30]

White noise with aspect ratio one half and ten spikes; the fit must accept the bulk and count the
spikes, with the aspect ratio known and unknown.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

import hessay
from hessay import tracy_widom


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Median CPU time of one call, after a first that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    n, p, spikes = 4000, 2000, 10
    scales = np.ones(p)
    scales[:spikes] = np.linspace(4.0, 12.0, spikes) ** 0.5
    singular = np.linalg.svd(rng.standard_normal((n, p)) * scales, compute_uv=False)
    values = singular**2 / n
    points = rng.uniform(-4, 8, p)
    for name, ratio in (("aspect ratio unknown", None), ("aspect ratio known", p / n)):
        edge = hessay.fit_edge(values, ratio)
        assert edge.accepted, edge
        assert edge.n_outliers == spikes, edge
        cost = milliseconds(lambda ratio=ratio: hessay.fit_edge(values, ratio), repeats)
        print(f"fit_edge, {p} eigenvalues, {spikes} spikes, {name}: {cost:.2f} ms")
    cost = milliseconds(lambda: tracy_widom.sf(points), repeats)
    print(f"tracy_widom.sf, {p} values: {cost:.3f} ms")


if __name__ == "__main__":
    main()
