"""The exact dense mean Hessian (d, d), set-up included: ours, the recipes, plain torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hessay.hessian import frozen
from hvp import hand_tiled, ours, recipes
from hvp.contender import CannotDo
from hvp.measure import CNN_TOLERANCE, TOLERANCE, Row, cpu_ms
from hvp.problems import Problem, truth
from hvp.torch_ways import kept_graph, vmapped

BLOCK = 32  # identity columns a product: the whole identity at once would take gigabytes

Dense = Callable[[], Tensor]


def _by_products(
    prepare: Callable[[Problem, bool], Callable[[Tensor], Tensor]], p: Problem
) -> Tensor:
    product = prepare(p, True)
    identity = torch.eye(p.d, dtype=p.x.dtype)
    return torch.cat([product(block.contiguous()) for block in identity.split(BLOCK, 1)], dim=1)


def _ours(problem: Problem, backend: str) -> Tensor:
    return torch.from_numpy(ours.operator(problem, backend, True, problem.d).dense())


def _works(problem: Problem, slow: bool) -> list[tuple[str, str, Dense, bool]]:
    """Name, group, work, and whether it is so slow that one run must do."""
    works: list[tuple[str, str, Dense, bool]] = []
    if problem.piecewise_linear:
        recipe = recipes.dense_matrix
        works.append(
            ("recipe: dense H", "recipe", lambda: torch.from_numpy(recipe(problem)), False)
        )
    if slow or (problem.kind == "mlp" and not problem.piecewise_linear):
        works.append(
            (
                f"torch.func vmap(jvp(grad)), {BLOCK} at a time",
                "torch",
                lambda: _by_products(vmapped, problem),
                True,
            )
        )
        works.append(
            (
                "double backward, graph kept, d products",
                "torch",
                lambda: _by_products(kept_graph, problem),
                True,
            )
        )
    if problem.kind == "mlp":
        works.append(
            (
                "hand-tiled torch",
                "control",
                lambda: _by_products(hand_tiled.hand_tiled_mlp, problem),
                False,
            )
        )
    backends = ("auto", "native") if problem.kind == "mlp" else ("auto",)
    for backend in backends:
        works.append((f"hessay {backend}", "hessay", lambda b=backend: _ours(problem, b), False))
    return works


def measure_dense(problem: Problem, repeats: int, slow: bool) -> list[Row]:
    """Time every way, interleaved; checked by its product with eight random directions."""
    allowed = (CNN_TOLERANCE if problem.kind == "cnn" else TOLERANCE)[problem.x.dtype]
    with frozen(problem.model):
        v = problem.directions(True, 8)
        right = truth(problem, v, True, kept_graph)
        works = _works(problem, slow)
        done = {name: Row(name, group, setup=[0.0]) for name, group, _, _ in works}
        for turn in range(max(1, repeats)):
            for name, _, work, once in works:
                row = done[name]
                if turn and (once or row.note):
                    continue
                try:
                    spent, h = cpu_ms(work)
                except CannotDo as reason:
                    row.note = str(reason)[:100]
                    continue
                row.times.append(spent)
                row.error = float((h.double() @ v.double() - right).abs().max() / right.abs().max())
                row.note = "" if row.error <= allowed else f"WRONG: error above {allowed:.0e}"
        return list(done.values())
