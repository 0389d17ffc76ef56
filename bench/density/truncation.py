"""How far a short Lanczos run is from its probe's own spectral measure, and what it claims.

    cd bench && python -m density.truncation

One line a spectrum and number of steps, the largest of 8 probes: the true Wasserstein-1 distance over the
change since three quarters of the steps, over the residuals' doubt, and over the claim.
"""

from __future__ import annotations

import numpy as np

from density.measure import Array
from hessay.density.known import Known
from hessay.density.products import Products
from hessay.density.run import ProbeRun, distance

STEPS, PROBES = (8, 12, 18, 28, 40, 80), 8
_rng = np.random.default_rng(1)
SPECTRA: dict[str, Array] = {
    "outliers, decaying": np.concatenate([np.zeros(750), 100 * 0.7 ** np.arange(50)]),
    "multiple": np.concatenate([np.zeros(300), np.full(10, 5.0), np.linspace(0, 1, 390)]),
    "signed outliers": np.concatenate([_rng.standard_normal(800), [40, -30]]),
    "uniform": np.linspace(1, 3, 900),
    "log-normal": np.exp(_rng.standard_normal(900)),
    "two bulks": np.concatenate([np.linspace(-2, -1, 500), np.linspace(3, 4, 300)]),
    "exponential": 0.93 ** np.arange(700.0),
    "power law": np.arange(1, 901.0) ** -1.5,
    "40 atoms": np.repeat(np.sort(_rng.uniform(0, 1, 40)), 20),
    "Cantor": np.repeat(
        [sum(2 * (k >> j & 1) * 3.0 ** -(j + 1) for j in range(7)) for k in range(128)], 7
    ),
}


def main() -> None:
    """Print the table."""
    for name, truth in SPECTRA.items():
        for steps in STEPS:
            rows = [row for seed in range(PROBES) if (row := _ratios(truth, steps, seed))]
            if rows:
                change, doubt, claim = np.max(rows, axis=0)
                print(
                    f"{name:20s} {steps:3d} steps: over the change {change:.2f}, over the doubt "
                    f"{doubt:.3f}, over the claim {claim:.2f}"
                )


def _ratios(truth: Array, steps: int, seed: int) -> tuple[float, float, float] | None:
    products = Products((lambda v: truth[:, None] * v, len(truth)))
    run = ProbeRun(products, Known(len(truth)), np.random.default_rng(seed))
    while run.steps < steps and not run.exhausted:
        run.step()
    if run.exhausted:
        return None
    rule = run.rule()
    true = distance(rule.spread(), (truth, run.basis[:, 0] ** 2))
    doubt = float(rule.weights @ sum(rule.doubt()))
    return true / rule.change, true / doubt, true / rule.truncation()


if __name__ == "__main__":
    main()
