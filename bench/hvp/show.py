"""Print the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hvp.gemm import Efficiency
from hvp.measure import Row, Table
from hvp.memory import Peak

KEPT_GRAPH = "double backward, graph kept"
MANY_BLOCKS = 100


def show_stamp(stamp: dict[str, str]) -> None:
    """Print the machine and the versions in three lines at most."""
    print("; ".join(f"{name}: {value}" for name, value in stamp.items()))


def show_table(table: Table) -> None:
    """Print times, set-up, error, ratio to the best that is not ours, and where set-up pays."""
    print(f"\n{table.title}: ms of CPU a block")
    print(
        f"  {'':31}{'ms':>9}{'spread':>8}{'set-up':>8}{'in all':>9}{'error':>9}{'best other':>12}"
        "   cheaper than the kept graph, set-up included"
    )
    other = table.best(lambda row: not row.ours)
    kept = table.find(KEPT_GRAPH)
    for row in table.rows:
        if not row.times:
            print(f"  {row.name:31}{'-':>9}  {row.note}")
            continue
        ratio = f"{other.ms / row.ms:.2f} x" if other and row.valid else "-"
        print(
            f"  {row.name:31}{row.ms:9.2f}{row.spread_ms:8.2f}{row.setup_ms:8.1f}"
            f"{row.setup_ms + row.ms:9.1f}{row.error:9.1e}{ratio:>12}   {row.note or (break_even(row, kept) if kept else '')}"
        )


def break_even(row: Row, kept: Row) -> str:
    """Say from how many blocks on set-up and products cost less, and both totals there."""
    if row is kept:
        return ""
    gain, extra = kept.ms - row.ms, row.setup_ms - kept.setup_ms
    if gain <= 0:
        if extra >= 0:
            return "never"
        last = math.floor(extra / gain)
        return f"up to {last} blocks" if last else "never"
    blocks = max(1, math.ceil(extra / gain))
    if blocks > MANY_BLOCKS:  # a difference within the noise pays for no set-up
        return "never"
    mine, theirs = row.setup_ms + blocks * row.ms, kept.setup_ms + blocks * kept.ms
    return f"from block {blocks} on: {mine:.1f} to {theirs:.1f} ms"


def show_dense(model: str, rows: Sequence[Row]) -> None:
    """Print seconds for the whole matrix."""
    print(f"\n{model}, exact dense mean Hessian (784, 784), set-up included: s of CPU")
    for row in rows:
        if not row.times:
            print(f"  {row.name:42}{'-':>9}  {row.note}")
            continue
        print(
            f"  {row.name:42}{row.ms / 1e3:9.3f}  spread {row.spread_ms / 1e3:.3f}"
            f"  error {row.error:.1e}  runs {len(row.times)}  {row.note}"
        )


def show_efficiency(rows: Sequence[Efficiency]) -> None:
    """Print rates of products against the library's own."""
    if not rows:
        return
    print("\nshare of the library's own rate (scipy's BLAS, same shapes alone; one 1536^3 product)")
    print(
        f"  {'':44}{'GFLOP':>8}{'ms':>9}{'GFLOP/s':>9}{'alone ms':>10}{'same':>7}{'large':>7}"
        f"  (large: {rows[0].large_gflops:.0f} GFLOP/s)"
    )
    for row in rows:
        rate = row.gflop * 1e3 / row.product_ms
        print(
            f"  {row.what:44}{row.gflop:8.3f}{row.product_ms:9.2f}{rate:9.1f}{row.gemm_ms:10.2f}"
            f"{row.against_same:7.0%}{row.against_large:7.0%}"
        )


def show_peaks(rows: Sequence[Peak]) -> None:
    """Print peak memory over the formula of :mod:`hvp.memory`."""
    if not rows:
        return
    print("\npeak memory above what was resident, MB: measured / formula (hvp/memory.py) = ratio")
    for row in rows:
        setup, product = row.setup_mb, row.product_mb
        print(
            f"  {row.model + ', ' + row.backend:22}"
            f"set-up {setup:7.1f} / {row.setup_formula_mb:6.1f} = "
            f"{setup / row.setup_formula_mb:.2f}   product, k = 32 {product:7.1f} / "
            f"{row.product_formula_mb:6.1f} = {product / row.product_formula_mb:.2f}"
        )
