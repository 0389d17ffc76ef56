#!/usr/bin/env python3
"""Write cpp/src/tracy_widom_table.inc: Chebyshev fits of the Tracy-Widom laws, beta 1, 2 and 4.

With q the Hastings-McLeod solution of Painleve II, q'' = s q + 2 q^3, q ~ Ai at +infinity, and

    L(s) = log F2(s) = -int_s^inf (x - s) q(x)^2 dx,      I(s) = int_s^inf q(x) dx,

the three laws are (Tracy & Widom 1994, Comm. Math. Phys. 159, 151; 1996, Comm. Math. Phys. 177, 727)

    F1(s) = exp((L - I) / 2),   F2(s) = exp(L),   F4(s / sqrt 2) = exp(L / 2) cosh(I / 2).

The initial value problem is unstable towards the left (an error grows like exp(0.94 |s|^1.5)) and
1 - F cancels towards the right, so everything runs in 220 digits: Taylor steps from s = 112, where
q = Ai to 10^-690. The fits therefore carry no rounding but that of the printed coefficients.
Each run compares with Fredholm determinants det(I -+ Ai(x + y + s)) (Ferrari & Spohn 2005) in 40
digits, an independent route.

Run: python tools/generate_tracy_widom.py            (about a minute; needs mpmath)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mpmath as mp  # type: ignore[import-untyped]

DIGITS = 220
START = 112  # Painleve II is entered here; every survival function is below 10^-340
STEP = mp.mpf(1) / 8  # less than a tenth of the distance to the poles of q
ORDER = 150  # (STEP / radius)^ORDER < 10^-DIGITS for every radius above 3.7 STEP
WIDTH = 1  # of one piece, in the argument of q
JOIN = 8  # from here on the right tail is fitted in (JOIN / s)^1.5
TOLERANCE = mp.mpf("1e-17")  # of a fit, relative to max(1, |log F|)
OUTPUT = Path(__file__).resolve().parents[1] / "cpp" / "src" / "tracy_widom_table.inc"


@dataclass(frozen=True)
class Law:
    """One law in the argument s of q; ``left`` and ``switch`` are piece boundaries."""

    beta: int
    left: int  # log F(left) < -746: below it F is under the smallest subnormal double
    switch: int  # near the median: log cdf is fitted to the left, log survival to the right
    rate: str  # survival ~ exp(-rate s^1.5) s^-power
    power: str
    log_cdf: Callable[[mp.mpf, mp.mpf], mp.mpf]
    survival: Callable[[mp.mpf, mp.mpf], mp.mpf]  # written without the cancellation of 1 - F


LAWS = (
    Law(
        *(1, -26, -1, "2/3", "3/4"),
        lambda l, i: (l - i) / 2,
        lambda l, i: -mp.expm1((l - i) / 2),
    ),
    Law(
        *(2, -21, -2, "4/3", "3/2"),
        lambda l, _: l,
        lambda l, _: -mp.expm1(l),
    ),
    Law(
        *(4, -27, -3, "4/3", "3"),
        lambda l, i: l / 2 + mp.log(mp.cosh(i / 2)),
        lambda l, i: -mp.expm1(l / 2) * mp.cosh(i / 2) - 2 * mp.sinh(i / 4) ** 2,
    ),
)


@dataclass(frozen=True)
class Expansion:
    """Taylor coefficients about ``centre`` of log F2 and of int_s^inf q."""

    centre: mp.mpf
    log_f2: list[mp.mpf]
    integral: list[mp.mpf]

    def at(self, s: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
        """Return log F2(s) and int_s^inf q."""
        h = s - self.centre
        return mp.polyval(self.log_f2[::-1], h), mp.polyval(self.integral[::-1], h)


def painleve_coefficients(s: mp.mpf, q: mp.mpf, slope: mp.mpf) -> list[mp.mpf]:
    """Taylor coefficients of q about s: (n + 2)(n + 1) q_(n+2) = s q_n + q_(n-1) + 2 (q^3)_n."""
    c, square = [q, slope], []
    for n in range(ORDER - 1):
        square.append(mp.fdot(c[: n + 1], c[n::-1]))
        cube = mp.fdot(square, c[n::-1])
        right = s * c[n] + 2 * cube + (c[n - 1] if n else 0)
        c.append(right / ((n + 2) * (n + 1)))
    return c


def expansions(left: int) -> dict[int, Expansion]:
    """Expansions about every multiple of STEP from START down to ``left``, by its index."""
    s = mp.mpf(START)
    q, slope = mp.airyai(s), mp.airyai(s, derivative=1)
    with mp.workdps(DIGITS + 350):  # int_s^inf Ai = 1/3 - int_0^s Ai is below 10^-345
        integral = mp.mpf(1) / 3 - mp.airyai(s, derivative=-1)
    # int_s^inf (x - s) Ai^2 dx, in closed form
    log_f2 = -(2 * s * s * q * q - 2 * s * slope * slope - q * slope) / 3
    table: dict[int, Expansion] = {}
    for index in range(round(START / STEP), round(left / STEP) - 1, -1):
        s = index * STEP
        c = painleve_coefficients(s, q, slope)
        square = [mp.fdot(c[: n + 1], c[n::-1]) for n in range(ORDER)]
        # (log F2)' = int_s^inf q^2 = q'^2 - s q^2 - q^4, (log F2)'' = -q^2
        first = slope**2 - s * q**2 - q**4
        log_series = [log_f2, first, *(-square[n] / ((n + 1) * (n + 2)) for n in range(ORDER - 2))]
        integral_series = [integral, *(-c[n] / (n + 1) for n in range(ORDER - 1))]
        table[index] = Expansion(s, log_series, integral_series)
        log_f2, integral = table[index].at(s - STEP)
        q = mp.polyval(c[::-1], -STEP)
        slope = mp.polyval([n * c[n] for n in range(len(c) - 1, 0, -1)], -STEP)
    return table


def fredholm(s: mp.mpf, nodes: int) -> tuple[mp.mpf, mp.mpf]:
    """det(I - B) and det(I + B), B(x, y) = Ai(x + y + s) on (0, inf), by Gauss-Legendre."""
    half = (34 - s) / 2  # Ai(34) < 10^-58
    x, w = gauss_legendre(nodes)
    x, w = [half * (1 + t) for t in x], [half * t for t in w]
    kernel = mp.matrix(nodes, nodes)
    for i in range(nodes):
        for j in range(i + 1):
            kernel[i, j] = kernel[j, i] = mp.sqrt(w[i] * w[j]) * mp.airyai(x[i] + x[j] + s)
    return mp.det(mp.eye(nodes) - kernel), mp.det(mp.eye(nodes) + kernel)


def gauss_legendre(nodes: int) -> tuple[list[mp.mpf], list[mp.mpf]]:
    """Nodes and weights on (-1, 1), by Newton from the asymptotic zeros."""
    xs, ws = [], []
    for k in range(nodes):
        x = mp.cos(mp.pi * (k + mp.mpf(3) / 4) / (nodes + mp.mpf(1) / 2))
        for _ in range(60):
            p, slope = legendre(nodes, x)
            x -= p / slope
            if abs(p / slope) < mp.eps * 8:
                break
        xs.append(x)
        ws.append(2 / ((1 - x * x) * legendre(nodes, x)[1] ** 2))
    return xs, ws


def legendre(n: int, x: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    """P_n(x) and its derivative."""
    before, p = mp.mpf(1), x
    for k in range(2, n + 1):
        before, p = p, ((2 * k - 1) * x * p - (k - 1) * before) / k
    return p, n * (x * p - before) / (x * x - 1)


def chebyshev(f: Callable[[mp.mpf], mp.mpf], a: mp.mpf, b: mp.mpf) -> list[mp.mpf]:
    """Chebyshev coefficients of f on [a, b], cut where the rest falls below TOLERANCE."""
    n = 40
    angles = [mp.pi * (k + mp.mpf(1) / 2) / n for k in range(n)]
    values = [f((a + b) / 2 + (b - a) / 2 * mp.cos(t)) for t in angles]
    c = [
        2 * mp.fsum(v * mp.cos(j * t) for v, t in zip(values, angles, strict=True)) / n
        for j in range(n)
    ]
    c[0] /= 2
    limit = TOLERANCE * max(1, max(abs(v) for v in values))
    if mp.fsum(abs(t) for t in c[n // 2 :]) > limit:
        where = f"[{mp.nstr(a, 6)}, {mp.nstr(b, 6)}]"
        raise SystemExit(f"the fit on {where} needs more than {n // 2} terms; use shorter pieces")
    while mp.fsum(abs(t) for t in c[-1:]) < limit / 4:
        c.pop()
    return c


class Table:
    """Laws evaluated from the expansions."""

    def __init__(self) -> None:
        self.expansions = expansions(min(law.left for law in LAWS))

    def logarithms(self, s: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
        """Return log F2(s) and int_s^inf q."""
        return self.expansions[round(s / STEP)].at(s)

    def pieces(self, law: Law) -> list[list[mp.mpf]]:
        """Fits of log F left of ``switch`` and of log(1 - F) right of it, up to JOIN."""

        def left(s: mp.mpf) -> mp.mpf:
            return law.log_cdf(*self.logarithms(s))

        if left(mp.mpf(law.left)) > -746:
            raise SystemExit(f"beta {law.beta}: the table ends where F is still a double")

        def right(s: mp.mpf) -> mp.mpf:
            return mp.log(law.survival(*self.logarithms(s)))

        return [
            chebyshev(left if a < law.switch else right, mp.mpf(a), mp.mpf(a + WIDTH))
            for a in range(law.left, JOIN, WIDTH)
        ]

    def tail(self, law: Law) -> list[mp.mpf]:
        """Fit of log((1 - F) exp(rate s^1.5) s^power), v = (JOIN / s)^1.5 from START to JOIN."""
        rate, power = fraction(law.rate), fraction(law.power)

        def residue(v: mp.mpf) -> mp.mpf:
            s = JOIN * v ** (-mp.mpf(2) / 3)
            log_survival = mp.log(law.survival(*self.logarithms(s)))
            return log_survival + rate * s ** mp.mpf(1.5) + power * mp.log(s)

        return chebyshev(residue, tail_last(), mp.mpf(1))

    def compare_with_determinants(self) -> None:
        """Raise unless both routes agree to 20 digits, relative, cdf and survival alike."""
        for s, nodes in ((-6, 84), (-1, 80), (4, 76)):
            with mp.workdps(60):
                minus, plus = fredholm(mp.mpf(s), nodes)
            log_f2, integral = self.logarithms(mp.mpf(s))
            pairs = (
                (minus, LAWS[0].log_cdf(log_f2, integral)),
                (minus * plus, LAWS[1].log_cdf(log_f2, integral)),
                ((minus + plus) / 2, LAWS[2].log_cdf(log_f2, integral)),
            )
            for law, (determinant, log_cdf) in zip(LAWS, pairs, strict=True):
                gap = abs(mp.log(determinant) / log_cdf - 1)
                print(f"beta {law.beta}, s = {s}: relative gap of log F {mp.nstr(gap, 3)}")
                if gap > mp.mpf(10) ** -20:
                    raise SystemExit("Painleve II and the Fredholm determinant disagree")


def tail_last() -> mp.mpf:
    """Return (JOIN / START)^1.5, the end of the tail's variable."""
    return (mp.mpf(JOIN) / START) ** mp.mpf(1.5)


def fraction(text: str) -> mp.mpf:
    """Return "2/3" as a number."""
    over, _, under = text.partition("/")
    return mp.mpf(over) / mp.mpf(under or 1)


def listing(name: str, rows: list[list[mp.mpf]], terms: int) -> str:
    """One C++ array of rows padded with zeros to ``terms``, rows kept whole."""
    lines = [f"constexpr double {name}[{len(rows)}][{terms}] = {{"]
    for row in rows:
        padded = [*row, *[mp.mpf(0)] * (terms - len(row))]
        lines.append("    {" + ", ".join(f"{float(value):.17g}" for value in padded) + "},")
    return "\n".join([*lines, "};", ""])


def main() -> None:
    """Fit, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output: Path = parser.parse_args().output
    mp.mp.dps = DIGITS
    table = Table()
    table.compare_with_determinants()
    fits = {law: (table.pieces(law), table.tail(law)) for law in LAWS}
    terms = max(len(row) for pieces, _ in fits.values() for row in pieces)
    tail_terms = max(len(tail) for _, tail in fits.values())
    parts = [
        "// Written by tools/generate_tracy_widom.py; do not edit.",
        "// Chebyshev coefficients, one row a piece of width 1: log F left of `switch`, log(1 - F)",
        "// right of it; the tail row is log((1 - F) exp(rate s^1.5) s^power) in (join / s)^1.5.",
        "// clang-format off",
        f"constexpr int kTerms = {terms};",
        f"constexpr int kTailTerms = {tail_terms};",
        f"constexpr double kJoin = {JOIN};",
        f"constexpr double kEnd = {START};",
        f"constexpr double kJoinPower = {float(mp.mpf(JOIN) ** 1.5):.17g}; // kJoin^1.5",
        "// (kJoin / s)^1.5 over [kJoin, kEnd] = kTailMiddle -+ kTailRadius",
        f"constexpr double kTailMiddle = {float((1 + tail_last()) / 2):.17g};",
        f"constexpr double kTailRadius = {float((1 - tail_last()) / 2):.17g};",
        "",
    ]
    for law, (pieces, tail) in fits.items():
        parts.append(listing(f"kPieces{law.beta}", pieces, terms))
        parts.append(listing(f"kTail{law.beta}", [tail], tail_terms))
    parts.append("// beta, first s, switch, rate and power of the tail, pieces, tail")
    parts.append(f"constexpr Law kLaws[{len(LAWS)}] = {{")
    for law in LAWS:
        rate, power = float(fraction(law.rate)), float(fraction(law.power))
        parts.append(
            f"    {{{law.beta}, {law.left}, {law.switch}, {rate:.17g}, {power:.17g}, "
            f"kPieces{law.beta}[0], kTail{law.beta}[0]}},"
        )
    parts.extend(["};", "// clang-format on", ""])
    output.write_text("\n".join(parts))
    print(f"{output.name}: {terms} terms a piece, {tail_terms} in the tail")


if __name__ == "__main__":
    main()
