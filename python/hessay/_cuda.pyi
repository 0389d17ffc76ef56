"""Signatures of the CUDA module; shapes and meanings stand in the headers of cuda/.

Matrices are DLPack arrays on one device, column-major; a workspace is a vector of doubles there.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

Array: TypeAlias = Any

def device_count() -> int: ...
def device_properties(device: int) -> dict[str, Any]: ...
def gaussian_fill(x: Array, seed: int, number: int, stream: int) -> None: ...
def activate(
    x: Array,
    slope: Array | None,
    curvature: Array | None,
    activation: int,
    parameter: float,
    stream: int,
) -> None: ...
def scale_by_sample(
    factor: Array, per_sample: int, x: Array, kept: Array | None, stream: int
) -> None: ...
def tangent_backward_step(
    slope: Array, curvature: Array, tangent: Array, per_sample: int, back: Array, stream: int
) -> None: ...
def expand_shared(slope: Array | None, pushed: Array, value: Array, stream: int) -> None: ...
def reduce_shared(
    slope: Array | None, value: Array, sum: Array, workspace: Array, stream: int
) -> None: ...
def cross_entropy_curvature(
    state: Array, per_sample: int, scale: float, u: Array, stream: int
) -> None: ...
def column_norms(x: Array, norms: Array, workspace: Array, stream: int) -> None: ...
def lanczos_update(
    alpha: Array, beta: Array, v: Array, u: Array, w: Array, stream: int
) -> None: ...
def normalise(norms: Array, x: Array, stream: int) -> None: ...
def gemm(
    flip_a: bool,
    flip_b: bool,
    alpha: float,
    a: Array,
    b: Array,
    beta: float,
    c: Array,
    workspace: Array,
    stream: int,
) -> None: ...
def gram(x: Array, out: Array, workspace: Array, stream: int) -> None: ...
def solve_upper(r: Array, x: Array, workspace: Array, stream: int) -> None: ...
def factor_apply(
    rows: Array,
    lift: Array | None,
    samples: int,
    v: Array,
    out: Array,
    workspace: Array,
    stream: int,
) -> None: ...
def reduce_shared_scratch(h: int, k: int, n: int, /) -> int: ...
def column_norms_scratch(rows: int, cols: int, /) -> int: ...
def gram_scratch(n: int, m: int, single: bool, /) -> int: ...
def blas_scratch() -> int: ...
def factor_apply_scratch(m: int, columns: int, k: int, lifted: bool, /) -> int: ...

# weight' (in, out), bias (out,), activation, parameter, input, skip, width
Layer: TypeAlias = tuple[Array | None, Array | None, int, float, int, int, int]

class _LossHessian:
    def __init__(
        self,
        layers: Sequence[Layer],
        kept: Sequence[tuple[Array | None, Array | None]],
        state: Array | None,
        first_curvature: Array | None,
        loss: int,
        scale: float,
        inputs: int,
        samples: int,
        stream: int,
    ) -> None: ...
    def linearise(
        self, x: Array, targets: Array, tile: int, largest: Array, workspace: Array, stream: int
    ) -> None: ...
    def apply(self, v: Array, out: Array, tile: int, workspace: Array, stream: int) -> None: ...
    def apply_per_sample(
        self, v: Array, out: Array, tile: int, workspace: Array, stream: int
    ) -> None: ...
    def as_operator(self, workspace_bytes: int, column_bytes: int) -> Operator32 | Operator64: ...
    def linearise_scratch(self, tile: int) -> int: ...
    def apply_scratch(self, k: int, tile: int) -> int: ...
    def apply_per_sample_scratch(self, k: int, tile: int) -> int: ...

class LossHessian32(_LossHessian): ...
class LossHessian64(_LossHessian): ...

class _Operator:
    @property
    def size(self) -> int: ...

class Operator32(_Operator): ...
class Operator64(_Operator): ...

class _Memory(Protocol):
    def basis(self, count: int) -> Array: ...
    def aside(self, count: int) -> Array: ...
    def workspace(self, doubles: int) -> Array: ...

def dense_operator(matrix: Array, stream: int) -> Operator32 | Operator64: ...
def lanczos(
    operator: Operator32 | Operator64 | Callable[[int, int, int], None],
    size: int,
    single: bool,
    memory: _Memory,
    *,
    k: int,
    which: str,
    tol: float,
    block: int,
    max_basis: int,
    max_products: int,
    miss_probability: float,
    max_seconds: float,
    progress: Callable[..., bool] | None,
    seed: int,
    start: Array | None,
    device: int,
    stream: int,
) -> dict[str, Any]: ...
