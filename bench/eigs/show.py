"""Print the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from eigs.blocks import SIZES, BlockCost
from eigs.contenders import CONTENDERS
from eigs.end_to_end import EndToEnd
from eigs.measure import Row, Tally, Warm
from eigs.problems import K

ARPACK = "scipy eigsh"
WIDTH = 36


def show_problem(rows: Sequence[Row]) -> None:
    """Print one problem: everyone's cost and how right it was."""
    print(f"\n{rows[0].problem}: top {K}")
    print(
        f"  {'':{WIDTH}}{'columns':>8} = {'search':>6} + {'check':>5}{'calls':>7}{'CPU ms':>9}"
        f"{'right':>7}{'residual':>10}   certified"
    )
    for row in rows:
        if not row.columns:
            print(f"  {row.contender:{WIDTH}}{'-':>8}   {row.note}")
            continue
        search = row.columns - row.check_columns
        said = {None: "", True: "yes", False: "no"}[row.certified]
        print(
            f"  {row.contender:{WIDTH}}{row.columns:8d}   {search:6d}   {row.check_columns:5d}"
            f"{row.calls:7d}{row.ms:9.1f}{row.right:4d}/{K}{row.residual:10.1e}   {said}"
            f"{'' if row.good else '  WRONG ' + row.note}"
        )


def show_ratios(problems: Sequence[Sequence[Row]]) -> None:
    """Print columns over ARPACK's, problem by problem; the search, then with the certificate."""
    for title, checks in (("search", False), ("search and certificate", True)):
        print(f"\ncolumns over those of {ARPACK}, {title} ('!': wrong or not converged)")
        print(
            f"  {'':{WIDTH}}" + "".join(f"{rows[0].problem[:13]:>14}" for rows in problems), end=""
        )
        print(f"{'geo. mean':>11}")
        for position, contender in enumerate(CONTENDERS):
            ratios, cells = [], []
            for rows in problems:
                row = rows[position]
                base = next(r for r in rows if r.contender == ARPACK)
                columns = row.columns - (0 if checks else row.check_columns)
                if not row.columns or not base.good:
                    cells.append("-")
                    continue
                ratios.append(columns / base.columns)
                cells.append(f"{ratios[-1]:.2f}{'' if row.good else '!'}")
            if not ratios:
                continue
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            wrong = "!" if any("!" in cell for cell in cells) else ""
            cells.append(f"{mean:.2f}{wrong}" + ("" if len(ratios) == len(problems) else "*"))
            print(
                f"  {contender.name:{WIDTH}}" + "".join(f"{cell:>14}" for cell in cells[:-1]),
                end="",
            )
            print(f"{cells[-1]:>11}")
    print("  *: over the problems it was made for")


def show_warm(rows: Sequence[Warm]) -> None:
    """Print columns from the answer before the operator moved, beside those from scratch."""
    print("\nwarm start after the operator moved: columns, search + certificate")
    print(f"  {'':16}{'moved by':24}{'cold':>9}{'warm':>9}{'search':>8}{'in all':>8}   right")
    for row in rows:
        cold, warm = f"{row.cold} + {row.cold_check}", f"{row.warm} + {row.warm_check}"
        print(
            f"  {row.problem:16}{row.how:24}{cold:>9}{warm:>9}{row.ratio:8.2f}"
            f"{row.ratio_in_all:8.2f}   {'yes' if row.right else 'NO'}"
        )
    mean = math.exp(sum(math.log(row.ratio) for row in rows) / len(rows))
    least = math.exp(sum(math.log(K / row.cold) for row in rows) / len(rows))
    print(
        f"  geometric mean of the searches: {mean:.2f}; of {K} columns, which residuals need: {least:.2f}"
    )


def show_tally(rows: Sequence[Tally]) -> None:
    """Print how many random operators of each hard kind were solved."""
    print(f"\nhard kinds, d = 150 to 400, top {K}, block 1, one seed each")
    print(
        f"  {'':18}{'runs':>6}{'right':>7}{'certified':>11}{'certified wrong':>17}{'ARPACK right':>14}"
    )
    for row in rows:
        print(
            f"  {row.kind:18}{row.runs:6d}{row.right:7d}{row.certified:11d}"
            f"{row.certified_wrong:17d}{row.arpack_right:14d}"
        )


def show_end_to_end(rows: Sequence[EndToEnd]) -> None:
    """Print CPU seconds from a network to its eigenpairs."""
    print(f"\n{rows[0].model}, float64: operator and top {K} together, CPU s")
    for row in rows:
        if row.note:
            print(f"  {row.name:46}{'-':>7}   {row.note}")
            continue
        mark = "" if row.verdict.good else "  WRONG"
        print(
            f"  {row.name:46}{row.median:7.3f}   {row.verdict.right}/{K}, residual "
            f"{row.verdict.residual:.1e}{mark}"
        )


def show_blocks(rows: Sequence[BlockCost]) -> None:
    """Print CPU milliseconds and columns for each number of columns a call."""
    print("\ncolumns a call: CPU ms (columns in all); * the default")
    print(f"  {'':{WIDTH}}" + "".join(f"{size:>16}" for size in SIZES))
    for row in rows:
        cells = [
            f"{row.ms[size]:.1f} ({row.columns[size]}){'*' if size == row.default else ''}"
            for size in SIZES
        ]
        print(f"  {row.name:{WIDTH}}" + "".join(f"{cell:>16}" for cell in cells))
