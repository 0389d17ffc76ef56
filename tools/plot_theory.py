#!/usr/bin/env python3
"""Draw the pictures of docs/random-matrix-theory.md and print the numbers beside them.

Run: python tools/plot_theory.py [--out docs/images]     (under a minute)

Every picture is an SVG without date; the same versions give the same bytes.
"""

from __future__ import annotations

import argparse
import io
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtr

from hessay import fit_edge, tracy_widom
from hessay.linear import best_ridge, centred_inputs, examine, ridge_visibility
from hessay.theory import multi_output, poisoned_ridge
from hessay.theory.haar import null_spectra
from hessay.theory.noise import noise_weights

Array = NDArray[np.float64]
SEED = 20250515
SMALL = {
    "figure.figsize": (7.0, 3.4),
    "font.size": 9.0,
    "svg.hashsalt": "hessay",
    "svg.fonttype": "none",  # text as text: a third of the size
}


def interpolation(figure: Figure) -> None:
    """Attack success over the aspect ratio, theory and fits."""
    left, right = figure.subplots(1, 2)
    ratios = np.concatenate([np.geomspace(0.05, 0.99, 40), np.geomspace(1.01, 10, 40)])
    rng = np.random.default_rng(SEED)
    p, theta, v = 240, 0.1, 3.0  # every n below is then a multiple of 20: theta is exact
    print("interpolation: ridge, aspect ratio, success predicted, simulated")
    for ridge in (0.0, 0.01, 0.3, 3.0):
        laws = [
            poisoned_ridge.predict(theta=theta, strength=v, ridge=ridge, aspect_ratio=c)
            for c in ratios
        ]
        colour = left.plot(ratios, [law.attack_success for law in laws], label=f"{ridge:g}")[
            0
        ].get_color()
        right.plot(ratios, [law.variance for law in laws], color=colour)
        for c in (0.25, 0.5, 2.0, 4.0):
            n = round(p / c)
            seen = [_success(rng, n, p, ridge, theta, v) for _ in range(30)]
            left.plot(c, np.mean(seen), "o", color=colour, markersize=4)
            law = poisoned_ridge.predict(
                theta=round(theta * n / 2) / (n / 2),
                strength=v,
                ridge=ridge,
                aspect_ratio=p / (n - 1),
            )
            print(f"  {ridge:5g} {c:5g} {law.attack_success:.3f} {np.mean(seen):.3f}")
    left.set(xscale="log", xlabel="inputs / rows", ylabel="attack success")
    right.set(xscale="log", yscale="log", xlabel="inputs / rows", ylabel="variance of a score")
    left.legend(title="ridge")


def _success(
    rng: np.random.Generator, n: int, p: int, ridge: float, theta: float, v: float
) -> float:
    half, bad = n // 2, round(theta * n / 2)
    labels = np.where(np.arange(n) < half + bad, 1.0, -1.0)
    x = rng.standard_normal((n, p))
    x[half : half + bad, 0] += v
    centre = x.mean(axis=0)
    x -= centre
    y = labels - labels.mean()
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    keep = s > 1e-9 * s[0]
    beta = vt[keep].T @ (s[keep] / (s[keep] ** 2 + ridge * n) * (u[:, keep].T @ y))
    score = labels.mean() - centre @ beta + v * beta[0]
    return float(ndtr(score / np.linalg.norm(beta)))


def sign_condition(figure: Figure) -> None:
    """Where faint poison raises its eigenvalue, and the attack's success there."""
    left, right = figure.subplots(1, 2)
    ratios, ridges = np.geomspace(0.05, 10, 40), np.geomspace(1e-3, 30, 40)
    seen = np.array(
        [[multi_output.visibility(ridge=r, aspect_ratio=c) for c in ratios] for r in ridges]
    )
    image = left.contourf(
        ratios, ridges, np.log10(seen), levels=np.linspace(-2, 2, 9), cmap="RdBu_r", extend="both"
    )
    left.contour(ratios, ridges, seen, levels=[1.0], colors="black")
    left.set(xscale="log", yscale="log", xlabel="inputs / rows", ylabel="ridge")
    left.set_title("log10 visibility; black: 1")
    figure.colorbar(image, ax=left)
    options = {"theta": 0.05, "strength": 5.0, "n_rows": 601, "n_inputs": 300, "mode": "all"}
    laws = [multi_output.predict(ridge=r, **options) for r in ridges]  # type: ignore[arg-type]
    right.plot(ridges, [law.spike for law in laws], label="poisoned eigenvalue / noise")
    right.plot(ridges, [law.threshold for law in laws], "--", label="seen above")
    right.plot(ridges, [multi_output.attack_success(law) for law in laws], label="attack success")
    right.axhline(1.0, color="black", linewidth=0.5)
    right.set(xscale="log", xlabel="ridge")
    right.legend()
    print("sign condition: ridge, visibility, spike, threshold, attack success at c = 1/2")
    for r in (0.001, 0.01, 0.1, 1.0, 10.0):
        law = multi_output.predict(ridge=r, **options)  # type: ignore[arg-type]
        print(
            f"  {r:6g} {law.visibility:7.2f} {law.spike:6.3f} {law.threshold:6.3f}"
            f" {multi_output.attack_success(law):6.3f}"
        )


def null(figure: Figure) -> None:
    """Draw the exact null against the GOE shortcut."""
    axes = figure.subplots(1, 3, sharey=True)
    rng = np.random.default_rng(SEED)
    goe = rng.standard_normal((20000, 9, 9))
    goe = np.linalg.eigvalsh((goe + goe.swapaxes(1, 2)) / math.sqrt(2))[:, -1]
    limit = float(np.quantile(goe, 0.95))
    print("null: n, p, ridge, share of noise above the 5 % limit of the GOE shortcut")
    for ax, (n, p, lam) in zip(
        axes, ((400, 80, 1.0), (200, 100, 0.1), (125, 100, 0.02)), strict=True
    ):
        weights = noise_weights(centred_inputs(rng.standard_normal((n, p))).spectrum, lam)
        g = float(weights.mean())
        p_eff = len(weights) / (float((weights**2).mean()) / g**2 - 1)
        tops = null_spectra(weights, 9, draws=4000, seed=SEED)[:, 0]
        z = (tops / g - 1) * math.sqrt(p_eff)
        bins = np.linspace(1, 14, 45).tolist()
        ax.hist(goe, bins, density=True, alpha=0.5, label="GOE", histtype="stepfilled")
        ax.hist(z, bins, density=True, alpha=0.5, label="exact", histtype="stepfilled")
        ax.axvline(limit, color="black", linestyle="--")
        ax.set(xlabel="largest eigenvalue, scaled", title=f"n {n}, p {p}, ridge {lam:g}")
        print(f"  {n:4} {p:4} {lam:5g} {(z > limit).mean():.3f}")
    axes[0].legend()


def power_law(figure: Figure) -> None:
    """Noise with a power-law covariance: the Marchenko-Pastur edge calls it outliers."""
    axes = figure.subplots(1, 2)
    n, p = 1000, 400
    print(
        "power law: exponent, accepted, eigenvalues of pure noise above the fitted edge (of 20 draws)"
    )
    for exponent in (0.0, 0.1, 0.3, 0.6):
        rng = np.random.default_rng(SEED)
        scale = np.arange(1, p + 1) ** (-exponent / 2)
        counts, accepted = [], 0
        for _ in range(20):
            values = np.linalg.svd(rng.standard_normal((n, p)) * scale, compute_uv=False) ** 2 / n
            edge = fit_edge(values, p / n)
            accepted += edge.accepted
            above = tracy_widom.sf((values - edge.center) / edge.scale) < 0.01
            counts.append(int(above.sum()))
        print(f"  {exponent:.1f} {accepted / 20:5.2f} {np.mean(counts):7.2f}")
        for ax, shown in zip(axes, (0.0, 0.3), strict=True):
            if exponent == shown:
                edge.plot(values, ax=ax)
                ax.set_title(
                    f"variances i^-{exponent:g}: fit {'' if edge.accepted else 'not '}accepted"
                )
                ax.get_legend().remove()  # type: ignore[union-attr]


def strong_ridge(figure: Figure) -> None:
    """How much poison is visible at which ridge, by covariance."""
    ax: Axes = figure.subplots()
    rng = np.random.default_rng(SEED)
    n, p = 800, 400
    ridges = np.geomspace(1e-3, 1e3, 50)
    print("strong ridge: inputs, best ridge, least share x strength there, at ridge 1000, at 0.01")
    for name, values in (
        ("white", np.ones(p)),
        ("variances i^-0.5", np.arange(1, p + 1) ** -0.5),
        ("variances i^-1", 1.0 / np.arange(1, p + 1)),
        ("variances i^-1.5", np.arange(1, p + 1) ** -1.5),
    ):
        values = values / values.mean()
        data = centred_inputs(rng.standard_normal((n, p)) * np.sqrt(values))

        def least(ridge: float, data: object = data) -> float:
            seen = ridge_visibility(data, ridge)  # type: ignore[arg-type]
            if seen.gain <= 0:
                return math.nan
            # Ten equal classes: threshold of the spike, eq. 6.4.
            return math.sqrt(math.sqrt(9 / seen.p_eff) / (9 * seen.gain))

        ax.plot(ridges, [least(r) for r in ridges], label=name)
        best = best_ridge(data)
        assert best is not None
        print(
            f"  {name:17} {best.ridge:8.3g} {least(best.ridge):8.4f} {least(1e3):8.4f}"
            f" {least(0.01):8.4f}"
        )
    ax.set(xscale="log", yscale="log", xlabel="ridge / mean variance")
    ax.set_ylabel("least visible poison: share of rows x length")
    ax.legend()


def structure(_figure: Figure | None = None) -> None:
    """Print what the test says of clean data whose classes differ."""
    rng = np.random.default_rng(SEED)
    labels = np.arange(600) % 10
    print("class structure: distance of the class means, directions found, verdict")
    for distance in (0.0, 0.5, 1.0, 3.0):
        x = rng.standard_normal((600, 60))
        x[:, :10] += distance * np.eye(10)[labels]
        found = examine(x, labels, ridge=1.0)
        print(f"  {distance:3g} {found.directions:3} {found.verdict}")


PICTURES: dict[str, Callable[[Figure], None]] = {
    "theory-interpolation": interpolation,
    "theory-sign-condition": sign_condition,
    "theory-null": null,
    "theory-power-law": power_law,
    "theory-strong-ridge": strong_ridge,
}


def shortened(svg: str) -> str:
    """Coordinates to a tenth of a point, half the file; what is written in the picture stays."""

    def rounded(line: str) -> str:
        if "<text" in line or "<tspan" in line or "<!--" in line:
            return line.rstrip()
        return re.sub(r"-?\d+\.\d{2,}", lambda m: f"{float(m[0]):.1f}", line).rstrip()

    return "\n".join(rounded(line) for line in svg.splitlines()) + "\n"


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        with rc_context(SMALL):
            figure = Figure(layout="constrained")
            draw(figure)
            for ax in figure.axes:
                ax.minorticks_off()  # on logarithmic axes a third of the file
            drawn = io.StringIO()
            figure.savefig(drawn, format="svg", metadata={"Date": None})
        (out / f"{name}.svg").write_text(shortened(drawn.getvalue()), encoding="utf-8")
    structure()


if __name__ == "__main__":
    main()
