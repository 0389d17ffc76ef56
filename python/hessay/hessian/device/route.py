"""Routes of a model on a CUDA device through hessay._cuda: whether one can be taken, and what it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from hessay.errors import ArgumentError
from hessay.hessian.device.factor import DeviceFactor
from hessay.hessian.device.lanczos import DeviceOperator
from hessay.hessian.device.module import available, is_device, require_device
from hessay.hessian.device.products import DeviceProducts
from hessay.hessian.gauss_newton.factor import Factor
from hessay.hessian.graph.operations import Graph
from hessay.hessian.graph.program import LayerProgram, program_of
from hessay.hessian.routes.problem import Problem
from hessay.hessian.routes.products import Products, TorchProducts

_WORKSPACE_BYTES = 1 << 30  # at most, and max_bytes where that is less

if TYPE_CHECKING:
    from torch import Tensor


def lives_on_device(problem: Problem) -> bool:
    """Whether the points are on a CUDA device."""
    return is_device(problem.site.values.device)


def answered_on_device(products: Products, directions: Tensor) -> TypeGuard[TorchProducts]:
    """Whether directions on a device can be multiplied without a copy through the processor."""
    return isinstance(products, TorchProducts) and is_device(directions.device)


def operator_on_device(products: Products) -> DeviceOperator | None:
    """Give what the eigensolver of the device multiplies with, None off hessay's kernels there."""
    if isinstance(products, TorchProducts) and isinstance(products.inner, DeviceProducts):
        return products.inner.operator()
    return None


def reason_on_device(problem: Problem) -> str:
    """Say why hessay's kernels can take this problem.

    Raises
    ------
    ArgumentError
        The network is no layer program, or the question is not one for it.
    DeviceError
        The module, the driver or the device is missing or too old.
    """
    device = problem.site.values.device
    require_device(device)
    program = _program(problem)
    why = None
    if isinstance(program, str):
        why = program
    elif not problem.curvature.is_loss:
        why = "this weighting has no loss"
    elif problem.work_sketched:
        why = "random rows of the logit curvature were asked for (sketch), which make a factor"
    if why is not None:
        raise ArgumentError(f"backend='native' is not exact here: {why}; use 'auto'")
    return f"hessay's own kernels on {device}, for linear layers and element-wise activations"


def factor_reason_on_device(problem: Problem) -> str | None:
    """Say why hessay's kernels can make this factor, or None where torch has to make its rows."""
    device = problem.site.values.device
    if not problem.is_gauss_newton or problem.work_sketched or not available(device):
        return None
    if isinstance(_program(problem), str):
        return None
    return f"{problem.why_gauss_newton} (hessay's own kernels on {device})"


def build_factor_on_device(problem: Problem) -> TorchProducts:
    """Make the factor's rows at the points, on their device."""
    program = _program(problem)
    assert isinstance(program, LayerProgram)  # see factor_reason_on_device
    values = problem.site.values.detach().flatten(1).contiguous()
    factor = DeviceFactor(
        program,
        values,
        problem.curvature,
        average=problem.work.average,
        workspace_bytes=min(problem.max_bytes, _WORKSPACE_BYTES),
    )
    return TorchProducts(factor, values.new_empty(0), problem.site.d, factor.dense)


def factor_of(products: Products) -> Factor | None:
    """Give the factor that products are held as, a copy of it where it lies on a device."""
    if isinstance(products, TorchProducts) and isinstance(products.inner, DeviceFactor):
        return products.inner.to_host()
    return products if isinstance(products, Factor) else None


def build_on_device(problem: Problem) -> TorchProducts:
    """Linearise at the points, on their device."""
    program = _program(problem)
    assert isinstance(program, LayerProgram)  # see reason_on_device
    values = problem.site.values.detach().flatten(1).contiguous()
    scratch = min(problem.max_bytes, _WORKSPACE_BYTES)
    products = DeviceProducts(program, values, problem.loss, workspace_bytes=scratch)
    return TorchProducts(products, values.new_empty(0), problem.site.d)


def _program(problem: Problem) -> LayerProgram | str:
    if not isinstance(problem.graph, Graph):
        return problem.graph
    return program_of(problem.graph, problem.site.values)
