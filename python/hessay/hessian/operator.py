"""InputHessian: the Hessian of a model's loss with respect to its input, as an operator."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.hessian.autograd import AutogradProducts
from hessay.hessian.curvature import Weighting, curvature
from hessay.hessian.evaluate import like_model, logits_of
from hessay.hessian.factor import Factor, factor_from_model, factor_from_program
from hessay.hessian.freeze import frozen
from hessay.hessian.inspect import check_repeatable
from hessay.hessian.metric import ProjectedHessian
from hessay.hessian.native import NativeProducts
from hessay.hessian.structure import LayerProgram, is_piecewise_linear, layer_program
from hessay.probe import Probe, as_probe

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

Backend = Literal["factor", "native", "autograd"]
_MAX_FACTOR_BYTES = 2 << 30  # a larger factor is not built; products go through autograd instead


class InputHessian:
    """Hessian of the mean loss with respect to the input, averaged over a probe or per sample.

    Parameters
    ----------
    model : nn.Module
        Inputs (n, *shape) to logits (n, C). Evaluated in eval mode and given back as it was.
        Half precision is computed in float32.
    probe : Probe, or anything :func:`hessay.probe.as_probe` takes
        The inputs the derivative is taken at; targets enter the loss where it has curvature of
        its own in the network (predicted classes stand in when there are none).
    loss : "cross_entropy"
        The loss on the logits.
    weighting : "labels", "softened", "uniform" or ("margin", c)
        Curvature S on the logits. "labels": cross-entropy itself, which fades for confident
        models. "softened": cross-entropy of the logits divided by their RMS over the probe.
        "uniform": J'(I - 11'/C)J, the second moment of the centred logit Jacobian.
        ("margin", c): J'(e_c - e_y)(e_c - e_y)'J, y the predicted class. The first two are full
        Hessians, the last two Gauss-Newton matrices by definition.
    average : bool
        True: one (d, d) operator, the mean over the probe. False: n operators, applied to
        (n, d, k).
    backend : "auto", "factor", "native" or "autograd"
        "factor" is exact for piecewise-linear networks and for the Gauss-Newton weightings;
        "native" for "labels" and "softened" on plain networks of linear layers and element-wise
        activations. Where a backend is not exact it is refused. "auto" takes the factor if it is
        exact and fits into 2 GiB, then native, then autograd, which always works.
    dtype : torch.dtype, optional
        float32 or float64; the model's own by default. Another dtype works on a copy.

    Raises
    ------
    ArgumentError, ShapeError, ProbeError, ModelError, NonFinite
        Say what was wrong with which argument.

    Source: Granziol & Flynn 2025, arXiv:2505.15175.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> H = InputHessian(net, torch.randn(16, 4), weighting="uniform")
    >>> H.shape, H.backend, (H @ np.eye(4, dtype=np.float32)).shape
    ((4, 4), 'factor', (4, 4))
    """

    def __init__(
        self,
        model: nn.Module,
        probe: object,
        *,
        loss: Literal["cross_entropy"] = "cross_entropy",
        weighting: Weighting = "labels",
        average: bool = True,
        backend: Literal["auto", "factor", "native", "autograd"] = "auto",
        dtype: torch.dtype | None = None,
    ) -> None:
        if loss != "cross_entropy":
            raise ArgumentError(f"loss must be 'cross_entropy', got {loss!r}")
        if backend not in ("auto", "factor", "native", "autograd"):
            raise ArgumentError(
                f"backend must be 'auto', 'factor', 'native' or 'autograd', got {backend!r}"
            )
        start = time.perf_counter()
        self.probe: Probe = as_probe(probe)
        self.weighting: Weighting = weighting
        self.average = average
        model = _in_dtype(model, dtype)
        with frozen(model):
            inputs = like_model(model, self.probe.inputs)
            logits_tensor = logits_of(model, inputs)
            check_repeatable(model, inputs, logits_tensor)
            logits = logits_tensor.numpy()
            self.curvature = curvature(weighting, logits)
            self.n_classes = int(logits.shape[1])
            program = layer_program(model, inputs)
            self.backend, self.reason = self._choose(model, program, backend, inputs)
            self._dtype, self._device = inputs.dtype, inputs.device
            self._products = self._build(model, program, inputs, logits)
        self.setup_seconds = time.perf_counter() - start
        self.products = 0  # columns applied so far

    @property
    def shape(self) -> tuple[int, int]:
        """(d, d), d the product of the input shape."""
        return (self.probe.d, self.probe.d)

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Precision of products."""
        return np.dtype(np.float64 if self._dtype == torch.float64 else np.float32)

    @overload
    def __matmul__(self, directions: Tensor) -> Tensor: ...
    @overload
    def __matmul__(self, directions: NDArray[Any]) -> NDArray[np.floating]: ...
    def __matmul__(self, directions: Tensor | NDArray[Any]) -> Tensor | NDArray[np.floating]:
        """H V: (d,) or (d, k) when averaged, (n, d, k) per sample; NumPy or torch, as given."""
        if isinstance(directions, Tensor):
            product = self._apply(directions.detach().cpu().numpy())
            return torch.from_numpy(np.ascontiguousarray(product)).to(directions)
        return self._apply(np.asarray(directions))

    def factor(self) -> Factor:
        """B with H = B'B / n.

        Raises
        ------
        ArgumentError
            The operator is not held as a factor.
        """
        if not isinstance(self._products, Factor):
            raise ArgumentError(f"this operator has no factor: {self.reason}")
        return self._products

    def dense(self) -> NDArray[np.float64]:
        """H (d, d) in double, averaged over the probe and symmetrised.

        From a factor at the cost of a Gram matrix; otherwise by min(d, first width) or d products.
        """
        if isinstance(self._products, Factor):
            return self._products.dense()
        if isinstance(self._products, NativeProducts):
            return self._products.dense(self.probe.d)
        self.products += self.probe.d
        identity = torch.eye(self.probe.d, dtype=self._dtype, device=self._device)
        full = self._products.apply(identity).double().cpu().numpy()
        symmetric: NDArray[np.float64] = (full + full.T) / 2
        return symmetric

    def to_scipy(self) -> LinearOperator:
        """Return H as a ``scipy.sparse.linalg.LinearOperator``; averaged operators only."""
        from scipy.sparse.linalg import LinearOperator

        self._require_average("to_scipy")
        return LinearOperator(
            self.shape,
            matvec=self._apply,
            matmat=self._apply,
            rmatvec=self._apply,
            dtype=self.dtype,
        )

    def project_out(self, basis: NDArray[np.floating] | Tensor) -> ProjectedHessian:
        """Q H Q with Q = I - V V', V (d, j) orthonormal: the curvature off a subspace."""
        self._require_average("project_out")
        return ProjectedHessian(self, basis)

    def explain(self) -> str:
        """Say which backend was chosen, why, and what it cost to set up."""
        return f"{self.backend}: {self.reason}; set up in {self.setup_seconds:.3g} s"

    def _apply(self, directions: NDArray[Any]) -> NDArray[np.floating]:
        v, squeeze = self._checked(directions)
        self.products += v.shape[-1]
        if isinstance(self._products, AutogradProducts):
            tensor = torch.from_numpy(np.ascontiguousarray(v)).to(self._device)
            apply = self._products.apply if self.average else self._products.apply_per_sample
            out = apply(tensor).cpu().numpy()
        else:
            out = self._products.apply(v) if self.average else self._products.apply_per_sample(v)
        return out[:, 0] if squeeze else out

    def _checked(self, directions: NDArray[Any]) -> tuple[NDArray[np.floating], bool]:
        n, d = self.probe.n, self.probe.d
        squeeze = self.average and directions.ndim == 1
        v = directions[:, None] if squeeze else directions
        wanted = f"({d},) or ({d}, k)" if self.average else f"({n}, {d}, k)"
        fits = v.ndim == 2 and v.shape[0] == d if self.average else v.shape[:-1] == (n, d)
        if not fits:
            raise ShapeError(f"directions must have shape {wanted}, got {directions.shape}")
        if v.dtype.kind not in "fiu":
            raise ShapeError(f"directions must be real numbers, got dtype {v.dtype}")
        v = v.astype(self.dtype, copy=False)
        if not np.isfinite(v).all():
            raise NonFinite("directions hold NaN or Inf")
        return v, squeeze

    def _require_average(self, what: str) -> None:
        if not self.average:
            raise ArgumentError(f"{what} needs average=True; this operator works per sample")

    def _build(
        self,
        model: nn.Module,
        program: LayerProgram | str,
        inputs: Tensor,
        logits: NDArray[np.float64],
    ) -> Factor | NativeProducts | AutogradProducts:
        targets = self.probe.targets
        if targets is not None and int(targets.max()) >= self.n_classes:
            raise ShapeError(
                f"targets reach {int(targets.max())}, the model has {self.n_classes} logits; "
                "classes are numbered from 0"
            )
        if self.backend == "autograd":
            labels = None if targets is None else targets.to(inputs.device)
            return AutogradProducts(model, inputs, labels, self.curvature)
        if isinstance(program, str):
            return factor_from_model(model, inputs, self.curvature)
        flat = inputs.flatten(1).contiguous().numpy()
        if self.backend == "factor":
            return factor_from_program(program, flat, logits, self.curvature, lift=self.average)
        classes = None if targets is None else targets.cpu().numpy()
        return NativeProducts(program, flat, classes, self.curvature)

    def _choose(
        self, model: nn.Module, program: LayerProgram | str, backend: str, inputs: Tensor
    ) -> tuple[Backend, str]:
        """Pick the cheapest exact backend, or check the one that was asked for; say why."""
        translated = isinstance(program, LayerProgram)
        if isinstance(program, LayerProgram):
            piecewise, route = program.piecewise_linear, "native passes"
            width = min(inputs[0].numel(), program.layers[0][0].shape[0])
        else:
            piecewise, route = is_piecewise_linear(model), f"torch passes, since {program}"
            width = inputs[0].numel()
        exact = {
            "factor": piecewise or not self.curvature.is_loss,
            "native": translated and self.curvature.is_loss,
            "autograd": True,
        }
        why = {
            "factor": f"the network is piecewise linear, so H = J'SJ ({route})"
            if self.curvature.is_loss
            else f"this weighting is J'SJ by definition ({route})",
            "native": "the network is linear layers and element-wise activations",
            "autograd": "the network has curvature of its own"
            + ("" if translated else f", and {program}"),
        }
        if backend != "auto":
            if not exact[backend]:
                reason = (
                    "the network has curvature of its own, which a factor leaves out"
                    if backend == "factor"
                    else f"{program}"
                    if isinstance(program, str)
                    else "this weighting has no loss"
                )
                raise ArgumentError(f"backend={backend!r} is not exact here: {reason}; use 'auto'")
            return cast(Backend, backend), f"asked for; {why[backend]}"
        n_bytes = len(inputs) * self.curvature.rank(self.n_classes) * width * inputs.element_size()
        if exact["factor"] and n_bytes <= _MAX_FACTOR_BYTES:
            return "factor", why["factor"]
        if exact["native"]:
            return "native", why["native"]
        if exact["factor"]:
            return "autograd", f"a factor would take {n_bytes / 2**30:.1f} GiB"
        return "autograd", why["autograd"]


def _in_dtype(model: nn.Module, dtype: torch.dtype | None) -> nn.Module:
    """Return the model itself when it computes in ``dtype`` already, a converted copy otherwise."""
    if dtype not in (None, torch.float32, torch.float64):
        raise ArgumentError(f"dtype must be torch.float32 or torch.float64, got {dtype}")
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    if own in (torch.float16, torch.bfloat16):
        dtype = dtype or torch.float32
    if dtype is None or own is None or own == dtype:
        return model
    return copy.deepcopy(model).to(dtype)
