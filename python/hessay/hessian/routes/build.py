"""Linearise a model at the points of a site, for the route that was chosen."""

from __future__ import annotations

import torch

from hessay.hessian.autograd import AutogradProducts
from hessay.hessian.device.route import build_factor_on_device, build_on_device
from hessay.hessian.gauss_newton.factor import Factor, factor_from_program, moment_from_program
from hessay.hessian.gauss_newton.moment import Moment
from hessay.hessian.gauss_newton.pullback import row_chunks
from hessay.hessian.graph.operations import Graph
from hessay.hessian.graph.program import LayerProgram
from hessay.hessian.native import NativeProducts
from hessay.hessian.routes.cost import Backend
from hessay.hessian.routes.problem import Problem
from hessay.hessian.routes.products import DenseProducts, Products, TorchProducts
from hessay.hessian.tangent.products import TangentProducts


def build(
    backend: Backend, source: Backend, problem: Problem, *, on_device: bool = False
) -> Products:
    """Do what a route pays once; ``source`` is the one a dense matrix is made with."""
    if on_device:
        return (build_factor_on_device if backend == "factor" else build_on_device)(problem)
    if backend == "dense":
        exact = build(source, source, problem).dense()
        dtype = torch.empty(0, dtype=problem.site.values.dtype).numpy().dtype
        return DenseProducts(exact.astype(dtype), exact)
    if backend == "factor":
        return _factor(problem)
    if backend == "moment":
        return _moment(problem)
    if backend == "native":
        assert isinstance(problem.program, LayerProgram)
        flat = problem.site.values.flatten(1).contiguous().numpy()
        return NativeProducts(problem.program, flat, problem.loss, problem.threads)
    site = problem.site
    like = site.values.new_empty(0)
    if backend == "tangent":
        assert isinstance(problem.graph, Graph)
        tangent = TangentProducts(problem.graph, site.values, problem.loss, problem.curvature)
        return TorchProducts(tangent, like, site.d)
    return TorchProducts(AutogradProducts(site, problem.loss, problem.curvature), like, site.d)


def _factor(problem: Problem) -> Factor:
    sketch = problem.sketch if problem.work_sketched else None
    if isinstance(problem.program, LayerProgram):
        flat = problem.site.values.flatten(1).contiguous().numpy()
        return factor_from_program(
            problem.program,
            flat,
            problem.logits,
            problem.curvature,
            average=problem.work.average,
            sketch=sketch,
            seed=problem.seed,
            threads=problem.threads,
        )
    rows = torch.cat(list(row_chunks(problem))).numpy()
    return Factor(rows, None, sketch, problem.threads)


def _moment(problem: Problem) -> Moment:
    if isinstance(problem.program, LayerProgram):
        flat = problem.site.values.flatten(1).contiguous().numpy()
        return moment_from_program(
            problem.program,
            flat,
            problem.logits,
            problem.curvature,
            sketch=problem.sketch if problem.work_sketched else None,
            seed=problem.seed,
            threads=problem.threads,
        )
    return Moment.from_chunks(rows.numpy() for rows in row_chunks(problem))
