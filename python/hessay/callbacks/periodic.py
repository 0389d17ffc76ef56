"""A scan every so often that leaves no trace in the run."""

from __future__ import annotations

import contextlib
import functools
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hessay.detector import scan
from hessay.errors import ArgumentError
from hessay.probe import as_probe
from hessay.report import Report
from hessay.tracking import log_report
from hessay.verdict import Verdict


class Logits(nn.Module):
    """A model whose forward returns an object, seen as one that returns logits (n, C).

    Parameters
    ----------
    model : nn.Module
        Returns a tensor, an object or mapping with ``logits``, or a sequence that begins with them.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, C) of inputs (n, ...)."""
        out = self.model(inputs)
        if isinstance(out, Tensor):
            return out
        if hasattr(out, "logits"):
            return torch.as_tensor(out.logits)
        return torch.as_tensor(out["logits"] if isinstance(out, dict) else out[0])


class PeriodicScan:
    """Scans a model in training; call it in the loop.

    The run goes on exactly as without it: weights, gradients, modes of all modules, and the random
    numbers of torch, NumPy and Python are what they were. Only rank 0 of a distributed run scans.
    A scan that fails is a warning and no verdict; it never stops the run unless asked to.

    Examples
    --------
    >>> probe = np.random.default_rng(0).random((64, 12)).astype(np.float32)
    >>> watch = PeriodicScan(probe, every=2)
    >>> model = nn.Sequential(nn.Linear(12, 4)).requires_grad_(True)
    >>> [watch(model, epoch) is not None for epoch in (1, 2, 3, 4)]
    [False, True, False, True]
    """

    def __init__(
        self,
        probe: object,
        *,
        every: int = 1,
        alpha: float = 0.01,
        wrt: str = "input",
        seed: int = 0,
        on_report: Callable[[int, Report], None] | None = None,
        loggers: Sequence[object] = (),
        stop_on_flag: bool = False,
        raise_errors: bool = False,
    ) -> None:
        """Settle how often, on what, and who is told.

        Parameters
        ----------
        probe : Probe, array, (inputs, targets), DataLoader or path
            As for :func:`hessay.scan`; read now.
        every : int >= 1
            Scan where the step is a multiple of it.
        alpha, wrt, seed
            As for :func:`hessay.scan`.
        on_report : (step, report) -> None, or None
        loggers : sequence
            Trackers for :func:`hessay.tracking.log_report`.
        stop_on_flag : bool
            Whether ``should_stop`` becomes true at FLAGGED; the frameworks' callbacks obey it.
        raise_errors : bool
            Raise what a scan, ``on_report`` or a tracker raises, instead of warning.

        Raises
        ------
        ArgumentError, ProbeError, ShapeError
            A value is out of range, or the probe is not usable.
        """
        whole: object = every
        if isinstance(whole, bool) or not isinstance(whole, int) or every < 1:
            raise ArgumentError(f"every must be an int of at least 1, got {every!r}")
        self._probe = as_probe(probe)
        self._every = every
        self._options: dict[str, Any] = {"alpha": alpha, "wrt": wrt, "seed": seed}
        self._on_report = on_report
        self._loggers = tuple(loggers)
        self._stop_on_flag = stop_on_flag
        self._raise_errors = raise_errors
        self.reports: list[tuple[int, Report]] = []
        self.failures: list[tuple[int, str]] = []
        self.should_stop = False

    def __call__(self, model: nn.Module, step: int) -> Report | None:
        """Scan if it is time.

        Parameters
        ----------
        model : nn.Module
            In any mode; DistributedDataParallel and DataParallel are looked into.
        step : int
            Epoch or optimiser step, whatever ``every`` counts.

        Returns
        -------
        Report or None
            None where it is not time, on other ranks than 0, and where the scan failed.
        """
        if step % self._every or not _is_first_rank():
            return None
        try:
            with undisturbed(model):
                report = scan(
                    Logits(_unwrapped(model)), self._probe, source=f"step {step}", **self._options
                )
        except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
            self._failed(step, "the scan failed, so there is no verdict", error)
            return None
        self.reports.append((step, report))
        if self._stop_on_flag and report.verdict is Verdict.FLAGGED:
            self.should_stop = True
        self._tell(step, report)
        return report

    def _tell(self, step: int, report: Report) -> None:
        tell: list[Callable[[], None]] = [
            functools.partial(log_report, report, logger, step=step) for logger in self._loggers
        ]
        if self._on_report is not None:
            tell.append(functools.partial(self._on_report, step, report))
        for one in tell:
            try:
                one()
            except Exception as error:  # noqa: BLE001 - a tracker's or a caller's own
                self._failed(step, f"{report.verdict.name} could not be passed on", error)

    def _failed(self, step: int, words: str, error: Exception) -> None:
        self.failures.append((step, f"{words}: {error}"))
        if self._raise_errors:
            raise error
        warnings.warn(f"hessay, step {step}: {words}: {error}", RuntimeWarning, stacklevel=3)


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode, and afterwards it and all random numbers back to what they were."""
    modes = [(module, module.training) for module in model.modules()]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the caller's own
    cuda: Any = torch.cuda
    devices = range(cuda.device_count()) if cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=list(devices)):
        model.eval()
        try:
            # A loop may call from inside no_grad or autocast; a scan is of the model as it is.
            with torch.enable_grad(), torch.autocast(device_type="cpu", enabled=False):
                yield
        finally:
            for module, training in modes:
                module.training = training
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _is_first_rank() -> bool:
    distributed: Any = torch.distributed
    if not distributed.is_available() or not distributed.is_initialized():
        return True
    return bool(distributed.get_rank() == 0)


def _unwrapped(model: nn.Module) -> nn.Module:
    wrappers = (nn.parallel.DistributedDataParallel, nn.DataParallel)
    while isinstance(model, wrappers):
        model = model.module
    return model
