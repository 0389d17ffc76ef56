"""The one way from three names on a command line to a report; ``scan`` and ``demo`` both take it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable

from hessay.detector import scan
from hessay.loading import load_model
from hessay.probe import Probe
from hessay.report import Report


def scan_file(
    weights: str | os.PathLike[str],
    arch: str,
    data: str | os.PathLike[str],
    *,
    alpha: float = 0.01,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Report:
    """Load weights and probe from files, scan, and note the names in the report.

    Parameters
    ----------
    weights : path
        ``.safetensors`` file or state dict.
    arch : str
        Registered architecture or ``module:factory``.
    data : path
        ``.npz`` file with ``inputs`` and, optionally, ``targets``.
    alpha : float in (0, 1)
        Level of the test.
    seed : int, >= 0
    progress : callable or None
        Called as ``progress(phase, share_done)``.

    Returns
    -------
    Report
        With the three names in ``model.source`` and ``settings``, so that it can be repeated.

    Raises
    ------
    HessayError
        See :func:`hessay.loading.load_model`, :meth:`hessay.probe.Probe.load`,
        :func:`hessay.detector.scan`.
    """
    if progress is not None:
        progress("loading model and probe", 0.0)
    # A factory or a model that prints must not get between the reader and the report.
    with contextlib.redirect_stdout(sys.stderr):
        model = load_model(weights, arch)
        probe = Probe.load(data)
        report = scan(
            model, probe, alpha=alpha, seed=seed, source=os.fspath(weights), progress=progress
        )
    names = {"arch": arch, "data": os.fspath(data)}
    return dataclasses.replace(report, settings={**report.settings, **names})
