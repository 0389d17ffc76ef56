"""Which route the products take: the cheapest exact one, or the one that was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast, get_args

from hessay.errors import ArgumentError
from hessay.hessian.device.route import (
    factor_reason_on_device,
    lives_on_device,
    reason_on_device,
)
from hessay.hessian.graph.program import LayerProgram
from hessay.hessian.routes.cost import Backend, Estimate, estimate
from hessay.hessian.routes.problem import Problem
from hessay.hessian.routes.work import Work

BACKENDS = ("auto", *get_args(Backend))
_NOTHING = 5e-4  # seconds nobody notices
_FORGETFUL = ("moment", "dense")  # they keep sums over the samples alone


@dataclass(frozen=True, slots=True)
class Choice:
    """A route, the reason for it, and what the others were expected to cost."""

    backend: Backend
    source: Backend  # the route that a dense matrix is made with; the backend itself otherwise
    reason: str
    estimates: Mapping[Backend, Estimate]  # of every route that is exact and fits into memory
    work: Work
    on_device: bool = False  # by hessay's own kernels, where the points are


def check_backend(backend: object) -> None:
    """Refuse a backend nobody knows."""
    if backend not in BACKENDS:
        raise ArgumentError(
            f"backend must be one of {', '.join(map(repr, BACKENDS))}, got {backend!r}"
        )


def choose(backend: str, problem: Problem) -> Choice:
    """Pick the route that costs least for the columns expected, or check the one asked for.

    Raises
    ------
    ArgumentError
        The backend that was asked for is not exact here, or no route fits into ``max_bytes``.
    DeviceError
        "native" was asked for on a CUDA device, and something it needs is missing.
    """
    if backend == "native" and lives_on_device(problem):  # "auto" stays with torch there
        reason = f"asked for; {reason_on_device(problem)}"
        return Choice("native", "native", reason, {}, problem.work, on_device=True)
    if backend == "factor" and lives_on_device(problem):
        own = factor_reason_on_device(problem)
        if own is not None:
            return Choice("factor", "factor", f"asked for; {own}", {}, problem.work, on_device=True)
    refusals = {name: refusal(name, problem) for name in get_args(Backend)}
    exact = [name for name, why in refusals.items() if why is None]
    work, limit = problem.work, problem.max_bytes
    source = dense_source(exact, work, limit)
    estimates = {
        name: estimate(name, work, source) for name in exact if kept_bytes(name, work) <= limit
    }
    if backend == "auto":
        chosen = cheapest(estimates, work)
        if chosen is None:
            raise ArgumentError(
                f"no route fits into max_bytes={limit}; raise it, or use fewer probe inputs"
            )
    else:
        chosen = cast(Backend, backend)
        if refusals[chosen] is not None:
            raise ArgumentError(
                f"backend={backend!r} is not exact here: {refusals[chosen]}; use 'auto'"
            )
    taken = source if chosen == "dense" else chosen
    reason = _why(taken, problem)
    if chosen == "dense":
        reason = f"H is formed, by {taken}: {reason}"
    if backend != "auto":
        reason = f"asked for; {reason}"
    return Choice(chosen, taken, reason, estimates, work)


def cheapest(estimates: Mapping[Backend, Estimate], work: Work) -> Backend | None:
    """Pick the route that costs least for the columns expected, None from none."""
    candidates = dict(estimates)
    if work.columns is None:  # then what keeps every sample; a moment for want of a factor
        forgetful = _FORGETFUL if "factor" in estimates else ("dense",)
        candidates = {
            name: cost for name, cost in estimates.items() if name not in forgetful
        } or candidates
    if not candidates:
        return None
    totals = {name: cost.total(work.expected) for name, cost in candidates.items()}
    chosen = min(totals, key=lambda name: totals[name])
    if "factor" in totals and totals["factor"] <= 1.1 * totals[chosen] + _NOTHING:
        return "factor"  # at the same cost it also gives eigenpairs, exactly
    return chosen


def dense_source(exact: Iterable[Backend], work: Work, limit: int) -> Backend:
    """Pick the route that makes a dense matrix soonest."""
    candidates = [name for name in exact if name not in _FORGETFUL]
    fitting = [name for name in candidates if kept_bytes(name, work) <= limit]
    # Any will do where none fits: the bytes are checked again for what is kept.
    return min(fitting or candidates, key=lambda name: estimate("dense", work, name).setup)


def kept_bytes(backend: Backend, work: Work) -> int:
    """Bytes a route keeps beside what a linearisation holds."""
    if backend == "factor":
        return work.factor_bytes
    if backend == "moment":
        return 8 * work.narrow**2
    return (8 + work.itemsize) * work.d**2 if backend == "dense" else 0


def refusal(backend: Backend, problem: Problem) -> str | None:
    """Say why a route is not exact for a problem, or None where it is."""
    native = isinstance(problem.program, LayerProgram)
    if problem.work_sketched and backend not in ("factor", "moment"):
        return "random rows of the logit curvature were asked for (sketch), which make a factor"
    if backend in _FORGETFUL and not problem.work.average:
        return "one matrix for all samples needs average=True"
    if backend in ("factor", "moment"):
        if not problem.is_gauss_newton:
            return f"{problem.bends}, which a factor leaves out"
        return None
    if backend == "native":
        if not native:
            return str(problem.program)
        return None if problem.curvature.is_loss else "this weighting has no loss"
    if backend == "tangent" and isinstance(problem.graph, str):
        return problem.graph
    return None


def _why(backend: Backend, problem: Problem) -> str:
    if backend in ("factor", "moment"):
        return f"{problem.why_gauss_newton} ({problem.passes})"
    if backend == "native":
        return "the network is linear layers and element-wise activations"
    if backend == "tangent":
        return f"the network can be followed by tangent passes in torch, and {problem.no_program}"
    return f"the network is differentiated by torch, since {problem.no_graph}"
