"""Whether ranks among m references have the level they say: clean networks against clean networks.

    python bench/bench_conformal.py [--models 200] [--splits 200] [--data digits] [--arch mlp:64-64-10] [--seed 0]

Trains clean networks of one recipe that differ in their seed alone and measures each once. Then, split after
split, one network and m others are drawn: the one is scanned at alpha = 1 / (m + 1), the others are its references.
The share of alarms should be alpha; the standard error is the binomial one, a little too small since splits share
networks.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from hessay.detector.plan import Plan
from hessay.detector.reference_table import ReferenceTable
from hessay.probe import Probe
from hessay.training import load_dataset, train_classifier
from hvp.stamp import on_one_thread, stamp

SIZES = (9, 19, 49)


def main() -> None:
    """Print the shares of alarms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--arch", default="mlp:64-64-10")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    on_one_thread()
    print(", ".join(f"{name} {value}" for name, value in stamp().items()))
    data = load_dataset(options.data, seed=options.seed)
    probe = Probe(data.test_inputs[:512], data.test_targets[:512])
    plan = Plan.of(probe, alpha=0.01, seed=0, progress=None)
    start = time.process_time()
    measured = [
        plan.measured(
            train_classifier(
                options.arch,
                data.train_inputs,
                data.train_targets,
                epochs=options.epochs,
                seed=1000 * (1 + options.seed) + i,
            ),
            f"network {i}",
        )
        for i in range(options.models)
    ]
    print(
        f"{options.models} clean {options.arch} on {options.data}, trained and measured in"
        f" {time.process_time() - start:.0f} s of CPU"
    )
    rng = np.random.default_rng(options.seed)
    for m in SIZES:
        alpha = 1 / (m + 1)
        scans = Plan(plan.probe, plan.flat, plan.directions, alpha, plan.seed, plan.tell)
        alarms, ranked = [], 0
        for _ in range(options.splits):
            drawn = rng.choice(options.models, m + 1, replace=False)
            table = ReferenceTable.of([measured[i] for i in drawn[1:]], trained_alike=True)
            test = scans.tests(measured[drawn[0]], table)[0]
            ranked += test.name == "reference_rank"
            alarms.append(test.p_value <= alpha)
        share = float(np.mean(alarms))
        error = float(np.sqrt(alpha * (1 - alpha) / options.splits))
        print(
            f"  m = {m:2}, alpha = {alpha:.3f}: {sum(alarms)} alarms in {options.splits} scans, {share:.4f};"
            f" binomial standard error {error:.4f}, z = {(share - alpha) / error:+.2f};"
            f" {ranked} by rank"
        )


if __name__ == "__main__":
    main()
