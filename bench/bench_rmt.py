"""Edge fits, outlier counts and Tracy-Widom p-values: accuracy, errors of both kinds, CPU time.

    python bench/bench_rmt.py [--draws 200] [--null 1000] [--correlated 50] [--only TABLE ...]

Tables: ``accuracy`` (the laws against numbers made in 30 to 40 digits), ``counts`` (contenders on
2000 eigenvalues: exact counts of 3 draws, CPU time of a fit), ``spikes`` (exact counts over many
draws), ``null`` (false alarms of white noise), ``correlated`` (silent wrong counts, the power law
among them), ``tracy_widom``. weightwatcher, scikit-rmt and TracyWidom are left out, and said to be,
where they are not installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

import hessay
from hessay import marchenko_pastur, silverstein, tracy_widom
from hvp.stamp import on_one_thread, stamp
from rmt import contenders, spectra

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
SEED = 20240611
BULKS = ("unit", "sigma2 = 1.7", "+-20 %")
COUNTS = (0, 3, 10)


def milliseconds(work: Callable[[], object], repeats: int = 20) -> float:
    """Median CPU time of one call, after a first that does not count; one repeat where that is slow."""
    start = time.process_time()
    work()
    first = time.process_time() - start
    times = []
    for _ in range(repeats if first < 0.1 else 1):
        start = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times)


def accuracy() -> None:
    """Largest errors against the reference numbers."""
    laws = json.loads((DATA / "laws.json").read_text())
    populations = json.loads((DATA / "populations.json").read_text())
    worst: defaultdict[str, float] = defaultdict(float)

    def note(name: str, error: object) -> None:
        worst[name] = max(worst[name], float(np.max(np.abs(np.asarray(error)))))

    for e in laws["marchenko_pastur"]:
        s, c = e["sigma2"], e["c"]
        levels = np.array([float(p) for p in e["quantile"]])
        quantiles = np.array(list(e["quantile"].values()))
        note("MP cdf, absolute", marchenko_pastur.cdf(e["x"], s, c) - np.array(e["cdf"]))
        note(
            "MP quantile, relative",
            (marchenko_pastur.quantile(levels, s, c) - quantiles) / np.maximum(quantiles, 1e-300),
        )
        note("MP m, relative", marchenko_pastur.stieltjes(e["z"], s, c) / np.array(e["m"]) - 1)
        note("MP mt, relative", marchenko_pastur.companion(e["z"], s, c) / np.array(e["mt"]) - 1)
    for e in populations["marchenko_pastur"]:
        s, c, z = e["sigma2"], e["c"], np.array(e["z"])
        note("MP m', relative", marchenko_pastur.stieltjes_slope(z, s, c) / e["m_prime"] - 1)
        note("MP mt', relative", marchenko_pastur.companion_slope(z, s, c) / e["mt_prime"] - 1)
        note("MP kappa, relative", marchenko_pastur.kappa(-z, s, c) / e["kappa"] - 1)
        points, m = np.array(e["z_complex"]) @ [1, 1j], np.array(e["m_complex"]) @ [1, 1j]
        note("MP m complex, relative", marchenko_pastur.stieltjes(points, s, c) / m - 1)
    for e in populations["silverstein"]:
        law = silverstein.PopulationLaw((e["t"], e["w"]), e["c"])
        note("Silverstein edges, relative", np.array(law.support) / np.array(e["edges"]) - 1)
    table = laws["tracy_widom"]
    for s, pair in table["pii"].items():
        note("TW cdf, absolute", tracy_widom.cdf(float(s)) - float(pair[0]))
        note("TW cdf, absolute", tracy_widom.cdf(float(s), 2) - float(pair[1]))
    for s, value in table["sf1"].items():
        note("TW survival, relative", tracy_widom.sf(float(s)) / value - 1)
    for name, error in worst.items():
        print(f"  {name:30} {error:.1e}")


def counts() -> None:
    """Contenders: exact counts of 3 draws a bulk, CPU time."""
    rng = np.random.default_rng(SEED)
    draws = {b: [spectra.benchmark(rng, b, k) for k in COUNTS] for b in BULKS}
    print(f"  {'':34} exact counts ({', '.join(BULKS)}), CPU ms")
    for name, count in contenders.counters().items():
        if count is None:
            continue
        hits = [sum(count(d.values, d.ratio) == d.spikes for d in draws[b]) for b in BULKS]
        one = draws["unit"][1]
        cost = milliseconds(lambda count=count, one=one: count(one.values, one.ratio))
        verdict = "" if hits == [3, 3, 3] else "  WRONG"
        print(f"  {name:34} {', '.join(f'{h}/3' for h in hits)}  {cost:9.2f}{verdict}")


def spiked(n_draws: int) -> None:
    """Exact counts with spikes at 1.35 times the threshold and up."""
    rng = np.random.default_rng(SEED + 1)
    for bulk in ("unit", "+-20 %"):
        exact = accepted = tested = 0
        for i in range(n_draws):
            draw = spectra.benchmark(rng, bulk, COUNTS[i % 3])
            edge = hessay.fit_edge(draw.values)
            exact += edge.n_outliers == draw.spikes
            tested += hessay.outliers(draw.values, edge).positions.size == draw.spikes
            accepted += edge.accepted
        print(
            f"  {bulk:8} {n_draws} draws: count exact {exact}, outliers at 0.01 exact {tested},"
            f" bulk accepted {accepted}"
        )


def null(n_draws: int) -> None:
    """Count false alarms of white noise at 0.01, fit and test on the same values."""
    rng = np.random.default_rng(SEED + 2)
    for n, p in ((4000, 2000), (400, 200), (2000, 200), (200, 200), (100, 200)):
        alarms, refused = {None: 0, p / n: 0}, {None: 0, p / n: 0}
        for _ in range(n_draws):
            values = marchenko_pastur.sample(n, p, seed=rng)[: min(n, p)]
            for ratio in alarms:
                edge = hessay.fit_edge(values, ratio)
                alarms[ratio] += hessay.outliers(values, edge, 0.01).positions.size > 0
                refused[ratio] += not edge.accepted
        shares = ", ".join(
            f"{'unknown' if r is None else 'known'} ratio {alarms[r] / n_draws:.2%}"
            f" (refused {refused[r] / n_draws:.2%})"
            for r in alarms
        )
        print(f"  {n} x {p}, {n_draws} draws: {shares}")


def correlated(repeats: int) -> None:
    """Right count, or refused; a silent wrong count is neither."""
    rng = np.random.default_rng(SEED + 3)
    for p in (200, 400):
        rows: defaultdict[str, list[tuple[bool, bool, bool]]] = defaultdict(list)
        for name, draw in spectra.correlated(rng, p, repeats):
            edge = hessay.fit_edge(draw.values)
            right = hessay.outliers(draw.values, edge).positions.size == draw.spikes
            rows[name].append((edge.accepted, right, edge.calibrated and not right))
        for name, found in [*rows.items(), ("all", [row for r in rows.values() for row in r])]:
            accepted, right, silent = np.mean(found, axis=0)
            print(
                f"  p {p} {name:18} {len(found)} draws: accepted {accepted:.1%},"
                f" count right {right:.1%}, silent wrong {silent:.1%}"
            )


def p_values() -> None:
    """Tracy-Widom survival functions: error against the reference numbers, CPU time of 2000."""
    table = json.loads((DATA / "laws.json").read_text())["tracy_widom"]
    body = np.array([float(s) for s in table["cdf1"]])
    tail = np.array([float(s) for s in table["sf1"]])
    points = np.random.default_rng(SEED).uniform(-4, 6, 2000)
    for name, survival in contenders.survivals().items():
        if survival is None:
            continue
        absolute = np.abs(1 - survival(body) - np.array(list(table["cdf1"].values()))).max()
        relative = np.abs(survival(tail) / np.array(list(table["sf1"].values())) - 1)
        cost = milliseconds(lambda survival=survival: survival(points))
        print(
            f"  {name:14} absolute {absolute:.1e}, tail relative at s = "
            + ", ".join(f"{s:.0f}: {r:.1e}" for s, r in zip(tail, relative, strict=True))
            + f"; {cost:.3f} ms"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--null", type=int, default=1000)
    parser.add_argument("--correlated", type=int, default=50)
    tables = ("accuracy", "counts", "spikes", "null", "correlated", "tracy_widom")
    parser.add_argument("--only", nargs="+", choices=tables, default=tables)
    options = parser.parse_args()
    on_one_thread()
    print(", ".join(f"{name} {value}" for name, value in stamp().items()))
    work: dict[str, Callable[[], None]] = {
        "accuracy": accuracy,
        "counts": counts,
        "spikes": lambda: spiked(options.draws),
        "null": lambda: null(options.null),
        "correlated": lambda: correlated(options.correlated),
        "tracy_widom": p_values,
    }
    for name in options.only:
        print(name, flush=True)
        work[name]()


if __name__ == "__main__":
    main()
