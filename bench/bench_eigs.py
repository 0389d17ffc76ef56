"""Ten leading eigenpairs to a residual of 1e-5 |A|: hessay.eigsh beside the solvers people use.

    python bench/bench_eigs.py [--problems "H mlp_relu" "spiked 2000" ...] [--repeats 3] [--seeds 200]
                               [--json FILE] [--cache DIR] [--quick] [--blocks]

Ten problems, in double (``eigs/problems.py``). Columns and calls are counted by the operator itself;
every answer is compared with LAPACK's, and a wrong one is marked. Products of the search and of the
certificate are shown apart and summed: no other contender makes a certificate. CPU times have one
thread and the dense product in them. curvlinops has no solver of its own: it hands its operator to
scipy eigsh. Then: columns over ARPACK's, warm starts after the operator has moved, random operators
of five hard kinds, and the whole way from a network to its eigenpairs. ``--quick`` leaves d = 4000
and the network with convolutions out, with one repeat and 20 seeds. ``--blocks`` prints only
what the number of columns a call costs, on stored matrices and on products that compute.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from eigs.blocks import block_costs
from eigs.contenders import CONTENDERS
from eigs.end_to_end import end_to_end
from eigs.measure import KINDS, compare, tally, warm_multiple, warm_starts
from eigs.problems import makers, perturbed
from eigs.show import (
    ARPACK,
    show_blocks,
    show_end_to_end,
    show_problem,
    show_ratios,
    show_tally,
    show_warm,
)
from hvp.stamp import on_one_thread, stamp


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cache = Path(tempfile.gettempdir()) / "hessay-bench"
    parser.add_argument("--problems", nargs="+", choices=list(makers(cache)))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cache", type=Path, default=cache)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--blocks", action="store_true")
    options = parser.parse_args()
    on_one_thread()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    names = options.problems or list(makers(options.cache))
    if options.quick:
        names = [n for n in names if "4000" not in n and "cnn" not in n]
        options.repeats, options.seeds = 1, min(options.seeds, 20)
    machine = stamp()
    print("; ".join(f"{name}: {value}" for name, value in machine.items()))
    if options.blocks:
        show_blocks(block_costs(options.cache, options.repeats))
        return

    problems, warm = [], []
    for name in names:
        problem = makers(options.cache)[name]()
        problems.append(compare(problem, CONTENDERS, options.repeats))
        show_problem(problems[-1])
        warm += warm_starts(problem, perturbed(problem, options.cache))
    show_ratios(problems)
    show_warm(warm + warm_multiple())
    arpack = next(c for c in CONTENDERS if c.name == ARPACK)
    tallies = [tally(kind, options.seeds, 1, arpack) for kind in KINDS]
    show_tally(tallies)
    whole = []
    for name in ("mlp_relu", "mlp_gelu", "softmax"):
        whole.append(end_to_end(name, options.cache, options.repeats))
        show_end_to_end(whole[-1])
    if options.json:
        tables = {"problems": problems, "warm": warm, "seeds": tallies, "end to end": whole}
        plain = json.dumps({"stamp": machine, **tables}, default=asdict, indent=1)
        options.json.write_text(plain)


if __name__ == "__main__":
    main()
