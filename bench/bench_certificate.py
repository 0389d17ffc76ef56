"""Check that block Lanczos is right, and that its certificate is honest.

    python bench/bench_certificate.py [--runs 300] [--operators 1500]

Two tables. Planted misses: one more copy of an eigenvalue than the start block can see, the last
reported value close below it, and a lax certificate; how often is the copy missed although the result
is certified, beside the probability it was allowed? Random operators, hostile ones among them: how
many answers differ from LAPACK's by more than the tolerance?
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from hessay.spectrum import WhichEnd, eigsh

TOL = 1e-9
ENDS: tuple[WhichEnd, ...] = ("LA", "SA", "BE", "LM")


def planted(block: int, limit: float, runs: int) -> tuple[float, float]:
    """Share of certified answers that miss the copy, and mean products of the certificate."""
    copies, missed, products = block + 1, 0, 0
    matrix = np.diag(np.concatenate([np.linspace(0, 1, 150), [1.199], [1.2] * copies]))
    for seed in range(runs):
        pairs = eigsh(matrix, copies, "LA", 1e-8, block=block, miss_probability=limit, seed=seed)
        missed += bool(pairs.certified and pairs.values[-1] < 1.1995)
        products += pairs.stats.check_products
    return missed / runs, products / runs


def random_spectrum(rng: np.random.Generator, d: int) -> NDArray[np.float64]:
    """Draw multiple, rank-deficient, clustered or plain Gaussian eigenvalues."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.choice([-2.0, 0.0, 1.0, 1.0, 3.0], d)
    if kind == 1:
        values = np.zeros(d)
        values[: min(d, 6)] = rng.standard_normal(min(d, 6))
        return values
    if kind == 2:
        values = rng.uniform(0, 1, d)
        tops = [8, 8 - 1e-4, 8 - 2e-4, 6, 6 - 1e-4, 6 - 2e-4, -4, -4]
        values[: min(d, 8)] = tops[: min(d, 8)]
        return values
    return rng.standard_normal(d)


def wanted(values: NDArray[np.float64], k: int, which: WhichEnd) -> NDArray[np.float64]:
    """Pick the k eigenvalues asked for, ascending."""
    ascending = np.sort(values)
    if which == "LA":
        return ascending[len(values) - k :]
    if which == "SA":
        return ascending[:k]
    if which == "BE":
        return np.concatenate([ascending[: k // 2], ascending[len(values) - (k + 1) // 2 :]])
    return np.sort(ascending[np.argsort(-np.abs(ascending), kind="stable")][:k])


def compare(operators: int) -> tuple[int, int]:
    """Count wrong answers and certified ones over random operators."""
    rng = np.random.default_rng(1)
    wrong = certified = 0
    for seed in range(operators):
        d = int(rng.integers(1, 150))
        k = int(rng.integers(1, min(d, 25) + 1))
        which = ENDS[rng.integers(4)]
        values = random_spectrum(rng, d)
        basis, _ = np.linalg.qr(rng.standard_normal((d, d)))
        matrix = (basis * values) @ basis.T
        pairs = eigsh(
            (matrix + matrix.T) / 2, k, which, TOL, block=int(rng.integers(1, 9)), seed=seed
        )
        error = np.abs(np.sort(pairs.values) - wanted(values, k, which)).max()
        wrong += bool(error > 2 * TOL * np.abs(values).max())
        certified += pairs.certified
    return wrong, certified


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--operators", type=int, default=1500)
    options = parser.parse_args()
    print(f"planted misses, {options.runs} seeds each (standard error at .2: .023)")
    print("start block   allowed   missed although certified   products of the certificate")
    for block in (1, 2, 3, 4):
        for limit in (0.5, 0.2, 0.05):
            share, products = planted(block, limit, options.runs)
            print(f"{block:11d}{limit:10.2f}{share:28.3f}{products:30.1f}")
    wrong, certified = compare(options.operators)
    print(f"random operators: {wrong} wrong and {certified} certified of {options.operators}")


if __name__ == "__main__":
    main()
