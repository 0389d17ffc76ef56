"""A site, a loss and what is known about the network between them: what routes are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessay.hessian.curvature import Curvature
from hessay.hessian.graph.operations import Graph
from hessay.hessian.graph.program import LayerProgram, follow
from hessay.hessian.loss import Loss
from hessay.hessian.model.site import Site
from hessay.hessian.routes.work import Work, work_of


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One Hessian to be had, by whatever route."""

    site: Site
    graph: Graph | str  # or why the network could not be followed
    program: LayerProgram | str  # or why the native core cannot run it
    loss: Loss
    curvature: Curvature
    logits: NDArray[np.float64]  # (n, C) at the points
    work: Work
    threads: int
    max_bytes: int
    sketch: int | None
    seed: int

    @property
    def work_sketched(self) -> bool:
        """Whether random rows take the place of the curvature's own."""
        return self.sketch is not None and self.sketch < self.curvature.rank(self.loss.n_outputs)

    @property
    def piecewise_linear(self) -> bool:
        """Whether the network is known to have no curvature of its own."""
        return isinstance(self.graph, Graph) and self.graph.piecewise_linear

    @property
    def is_gauss_newton(self) -> bool:
        """Whether H = J'SJ."""
        return self.piecewise_linear or not self.curvature.is_loss or self.loss.stationary

    @property
    def why_gauss_newton(self) -> str:
        """Say why H = J'SJ, where it is."""
        if not self.curvature.is_loss:
            return "this weighting is J'SJ by definition"
        if self.piecewise_linear:
            return "the network is piecewise linear, so H = J'SJ"
        return "the outputs are their own targets, so H = J'SJ"

    @property
    def bends(self) -> str:
        """Say why H may be more than J'SJ."""
        if isinstance(self.graph, str):
            return f"the network may have curvature of its own ({self.graph})"
        return "the network has curvature of its own"

    @property
    def passes(self) -> str:
        """What the rows of a factor are pulled back with."""
        if isinstance(self.program, LayerProgram):
            return "native passes"
        return f"torch passes, since {self.program}"

    @property
    def no_program(self) -> str:
        """Say why the native route was not taken."""
        if isinstance(self.program, LayerProgram):
            return "the core's own are predicted to cost more"
        return self.program

    @property
    def no_graph(self) -> str:
        """Say why tangent passes were not taken."""
        if isinstance(self.graph, Graph):
            return "tangent passes are predicted to cost more"
        return self.graph


def problem_of(
    site: Site,
    loss: Loss,
    curvature: Curvature,
    logits: NDArray[np.float64],
    *,
    average: bool,
    columns: int | None,
    threads: int,
    max_bytes: int,
    sketch: int | None,
    seed: int,
) -> Problem:
    """Look into the network from the site on, and count."""
    graph: Graph | str
    program: LayerProgram | str
    if site.module is not None:
        graph = program = f"the derivative is taken inside the network, at {site.place}"
    else:
        up_to_shift = loss.name == "cross_entropy"
        graph, program = follow(site.model, site.values, up_to_shift=up_to_shift)
    work = work_of(
        graph,
        program,
        curvature,
        n=len(site.values),
        d=site.d,
        n_outputs=loss.n_outputs,
        columns=columns,
        average=average,
        itemsize=site.values.element_size(),
        sketch=sketch,
    )
    return Problem(
        site, graph, program, loss, curvature, logits, work, threads, max_bytes, sketch, seed
    )
