"""InputHessian: the Hessian of a model's loss with respect to its input, as an operator."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.hessian.covariance import Covariance
from hessay.hessian.curvature import Weighting, curvature
from hessay.hessian.device.lanczos import DeviceOperator
from hessay.hessian.device.route import answered_on_device, factor_of, operator_on_device
from hessay.hessian.gauss_newton.factor import Factor
from hessay.hessian.limits import check_count
from hessay.hessian.loss import LossName, check_loss, loss_of
from hessay.hessian.metric import MetricHessian, projected, whitened
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.guest import guest
from hessay.hessian.model.inspect import check_site
from hessay.hessian.model.noise import check_noise
from hessay.hessian.model.site import site_of
from hessay.hessian.routes.build import build
from hessay.hessian.routes.choice import check_backend, choose
from hessay.hessian.routes.cost import Backend
from hessay.hessian.routes.explain import Spent, explain
from hessay.hessian.routes.problem import problem_of
from hessay.hessian.threads import resolve_threads, working_threads
from hessay.probe import Probe, as_probe

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


class InputHessian:
    """Hessian of the mean loss with respect to the input, averaged over a probe or per sample.

    Parameters
    ----------
    model : nn.Module
        Inputs (n, *shape) to logits (n, C). Evaluated in eval mode and given back as it was.
        Half precision is computed in float32.
    probe : Probe, or anything :func:`hessay.probe.as_probe` takes
        The inputs the derivative is taken at; targets enter where the network has curvature of
        its own, and predictions stand in when there are none.
    loss : "cross_entropy", "mse" or "logistic"
        On the logits z of one sample. "cross_entropy": class-number targets. "mse":
        (1/C) sum (z_c - t_c)^2, targets (n, C) or (n,) floats. "logistic":
        (1/C) sum softplus(z_c) - t_c z_c, targets in [0, 1] of the same shapes. Class numbers
        serve as one-hot rows; without targets t = z for "mse", t = (z > 0) for "logistic".
    weighting : "labels", "softened", "uniform" or ("margin", c)
        Curvature S on the logits. "labels": that of the loss itself, which fades for confident
        models. The others belong to cross-entropy. "softened": the logits divided by their RMS
        over the probe. "uniform": J'(I - 11'/C)J, the second moment of the centred logit
        Jacobian. ("margin", c): J'(e_c - e_y)(e_c - e_y)'J, y the predicted class. The first two
        are full Hessians, the last two Gauss-Newton matrices by definition.
    wrt : "input" or the name of a module
        "input": the model's input. Otherwise the output of that module (dotted, as in
        ``model.named_modules()``), for example an ``nn.Embedding`` for token ids.
    noise, draws, seed : float >= 0, int >= 1, int
        Average H over Gaussian noise of this standard deviation (unit of the points), ``draws``
        times a sample in antithetic pairs: the Hessian of the smoothed loss. Slopes and
        curvatures are those of the noisy points; targets, predictions that stand in for them and
        the softening scale those of the clean ones. ``draws`` is not used without noise.
    average : bool
        True: one (d, d) operator, the mean over the probe. False: n operators, applied to
        (n, d, k).
    backend : "auto", "factor", "moment", "native", "tangent", "autograd" or "dense"
        "factor": B with H = B'B / n, for piecewise-linear networks and Gauss-Newton weightings, made
        and kept on a CUDA device where ``hessay._cuda`` can and it is asked for;
        "moment": the second moment of its rows alone. "native": tangent passes of the core, for
        linear layers, skip connections and element-wise activations; on a CUDA device, and only
        when asked for, the kernels of ``hessay._cuda``. "tangent": tangent passes in
        torch, for networks with convolutions and pools too. "autograd": double backward over a
        kept graph, for any module. "dense": H itself, made by the cheapest of these. Where a
        backend is not exact it is refused. "auto": the cheapest, set-up included, for ``columns``.
    columns : int, optional
        Directions the operator is expected to meet in all; only "auto" looks at it. By default a
        few dozen; then "dense" is left aside, and "moment" where a factor fits: they forget the
        samples.
    sketch : int, optional
        This many random rows a sample, 2 or more, in the place of the C - 1 of the logit
        curvature: for hundreds of classes. H is then random, with the right mean;
        ``factor().standard_error(V)`` says how far off. Of ``seed``.
    max_bytes : int
        What an operator may keep as a factor, moment or dense matrix; larger ones are summed up in
        chunks or not formed.
    num_threads : int, optional
        For set-up and products; torch's own setting by default.
    dtype : torch.dtype, optional
        float32 or float64; the model's own by default. Another dtype works on a copy.

    Raises
    ------
    ArgumentError, ShapeError, ProbeError, ModelError, NonFinite, DeviceError
        Say what was wrong with which argument, or what is missing on the device.

    Source: Granziol & Flynn 2025, arXiv:2505.15175; smoothing, Smilkov et al. 2017,
    arXiv:1706.03825.

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
        loss: LossName = "cross_entropy",
        weighting: Weighting = "labels",
        wrt: str = "input",
        noise: float = 0.0,
        draws: int = 1,
        seed: int = 0,
        average: bool = True,
        backend: Literal["auto"] | Backend = "auto",
        columns: int | None = None,
        sketch: int | None = None,
        max_bytes: int = 2 << 30,
        num_threads: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_loss(loss)
        check_backend(backend)
        check_noise(noise, draws)
        if columns is not None:
            check_count("columns", columns, 1)
        check_count("max_bytes", max_bytes, 1)
        if sketch is not None:
            check_count("sketch", sketch, 2)
        self.num_threads = resolve_threads(num_threads)
        self.probe: Probe = as_probe(probe)
        self.loss, self.weighting, self.wrt = loss, weighting, wrt
        self.average = average
        host = guest(model, dtype)
        with working_threads(self.num_threads), frozen(host.model):
            site = site_of(host.model, host.take(self.probe.inputs), host.name(wrt))
            logits = site.logits()
            check_site(site, logits)
            self.curvature = curvature(weighting, logits.numpy(), loss)
            objective = loss_of(loss, self.probe.targets, logits.numpy(), self.curvature)
            if noise > 0:
                site, objective = site.around(noise, draws, seed), objective.around(draws)
                logits = site.logits()
            problem = problem_of(
                site,
                objective,
                self.curvature,
                logits.numpy(),
                average=average,
                columns=columns,
                threads=self.num_threads,
                max_bytes=max_bytes,
                sketch=sketch,
                seed=seed,
            )
            choice = choose(backend, problem)
            start = time.perf_counter()
            self._products = build(
                choice.backend, choice.source, problem, on_device=choice.on_device
            )
            self.setup_seconds = time.perf_counter() - start  # of the route, checks not included
        self.backend: Backend = choice.backend
        self.reason = "; ".join(filter(None, (choice.reason, host.note)))
        self.n_classes = objective.n_outputs
        self.n, self.d = site.n, site.d
        self._draws, self._dtype = site.draws, site.values.dtype
        self.choice = choice
        self.products = 0  # columns applied so far
        self.product_seconds = 0.0  # and the time they took

    @property
    def shape(self) -> tuple[int, int]:
        """(d, d), d the product of the shape of one input, or of the module's output."""
        return (self.d, self.d)

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
            if self.average and answered_on_device(self._products, directions):
                self.products += 1 if directions.ndim == 1 else directions.shape[-1]
                return self._products.on_device(directions)
            product = self._apply(directions.detach().cpu().numpy())
            return torch.from_numpy(np.ascontiguousarray(product)).to(directions)
        return self._apply(np.asarray(directions))

    def factor(self) -> Factor:
        """B with H = B'B / n, n the points: the samples, each once for every draw of noise.

        Raises
        ------
        ArgumentError
            The operator is not held as a factor.
        """
        factor = factor_of(self._products)
        if factor is None:
            raise ArgumentError(
                f"this operator is held as {self.backend!r}, not as a factor ({self.reason}); pass "
                "backend='factor', which is exact for piecewise-linear networks and for the "
                "weightings 'uniform' and ('margin', class)"
            )
        return factor

    def device_operator(self) -> DeviceOperator | None:
        """For eigsh: the averaged products of "native" on a CUDA device, None elsewhere."""
        return operator_on_device(self._products) if self.average else None

    def dense(self) -> NDArray[np.float64]:
        """H (d, d) in double, averaged and symmetrised: a Gram matrix of a factor, or products with I."""
        self._require_average("dense")
        with working_threads(self.num_threads):
            return self._products.dense()

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

    def project_out(self, basis: NDArray[np.floating] | Tensor) -> MetricHessian:
        """Q H Q with Q = I - V V', V (d, j) orthonormal: the curvature off a subspace."""
        self._require_average("project_out")
        return projected(self, basis)

    def whiten(self, covariance: Covariance | NDArray[np.floating] | Tensor) -> MetricHessian:
        """C^(-1/2) H C^(-1/2) for a covariance C (d, d): wide data directions played down."""
        self._require_average("whiten")
        return whitened(self, covariance)

    def explain(self) -> str:
        """Say which route was chosen and why, what every route was to cost, and what it did cost.

        Predictions are seconds of the reference machine of ``hessay.hessian.routes.cost``, one thread, a
        column at a time; their ratios are what counts.
        """
        spent = Spent(self.setup_seconds, self.product_seconds, self.products)
        return explain(self.choice, self.reason, spent)

    def _apply(self, directions: NDArray[Any]) -> NDArray[np.floating]:
        v, squeeze = self._checked(directions)
        start = time.perf_counter()
        with working_threads(self.num_threads):
            if self.average:
                out = self._products.apply(v)
            else:
                each = v if self._draws == 1 else np.repeat(v, self._draws, axis=0)
                out = self._products.apply_per_sample(each)
                if self._draws > 1:
                    out = out.reshape(self.n, self._draws, *out.shape[1:]).mean(axis=1)
        if not np.isfinite(out).all():
            raise NonFinite(
                "the product is NaN or Inf: the model has no finite second derivative at some "
                "points (a root, a norm or a logarithm at 0), or the directions are too large"
            )
        self.products += v.shape[-1]
        self.product_seconds += time.perf_counter() - start
        return out[:, 0] if squeeze else out

    def _checked(self, directions: NDArray[Any]) -> tuple[NDArray[np.floating], bool]:
        n, d = self.n, self.d
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
