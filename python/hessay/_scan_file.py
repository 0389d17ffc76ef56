"""The one way from three names on a command line to a report; ``scan`` and ``demo`` both take it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hessay.detector import scan
from hessay.errors import ArgumentError
from hessay.loading import load_model
from hessay.loading.hub import local_weights
from hessay.loading.images import is_pictures
from hessay.loading.preprocessing import Preprocessing
from hessay.probe import Probe
from hessay.report import Report

if TYPE_CHECKING:
    from torch import nn

_WEIGHTS = (".safetensors", ".pt", ".pth")


def scan_file(
    weights: str | os.PathLike[str],
    arch: str,
    data: str | os.PathLike[str],
    *,
    alpha: float = 0.01,
    references: str | os.PathLike[str] | None = None,
    holdout: str | os.PathLike[str] | None = None,
    wrt: str = "input",
    seed: int = 0,
    preprocessing: str | os.PathLike[str] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Report:
    """Load weights and probe from files, scan, and note the names in the report.

    Parameters
    ----------
    weights : path
        ``.safetensors`` file or index, state dict, or ``hf:ORG/NAME@REVISION``.
    arch : str
        Registered architecture or ``module:factory``.
    data : path
        ``.npz`` file with ``inputs`` and, optionally, ``targets``; or pictures.
    alpha : float in (0, 1)
        Level of the test.
    references : path, "train" or None
        File of reference networks, or a folder of weights of the same architecture as the model.
    holdout : path or None
        ``.npz`` file of labelled clean data, for ``references="train"``.
    wrt : "input" or the name of a module
        Where the model is examined; for token ids, the embedding.
    seed : int, >= 0
    preprocessing : path or None
        JSON that says how pictures become inputs; by default the one beside the weights.
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
        probe = _probe(data, weights, preprocessing)
        report = scan(
            model,
            probe,
            alpha=alpha,
            references=_references(references, arch),
            holdout=None if holdout is None else _probe(holdout, weights, preprocessing),
            wrt=wrt,
            seed=seed,
            source=local_weights(weights)[1],
            progress=progress,
        )
    given = {
        "arch": arch,
        "data": data,
        "references_from": references,
        "holdout_from": holdout,
        "preprocessing": preprocessing,
    }
    names = {name: os.fspath(value) for name, value in given.items() if value is not None}
    return dataclasses.replace(report, settings={**report.settings, **names})


def _probe(
    data: str | os.PathLike[str],
    weights: str | os.PathLike[str],
    preprocessing: str | os.PathLike[str] | None,
) -> Probe:
    """Load a probe; pictures become inputs as the file named says, or the one beside the weights."""
    if preprocessing is not None:
        return Probe.load(data, preprocessing=Preprocessing.read(Path(preprocessing)))
    how = Preprocessing.beside(local_weights(weights)[0]) if is_pictures(Path(data)) else None
    return Probe.load(data, preprocessing=how)


def _references(
    given: str | os.PathLike[str] | None, arch: str
) -> list[nn.Module] | str | os.PathLike[str] | None:
    """Load a folder of weights; leave the rest to the scan."""
    if given is None or not Path(given).is_dir():
        return given
    files = sorted(f for f in Path(given).iterdir() if f.suffix in _WEIGHTS)
    if not files:
        raise ArgumentError(f"there are no weights ({', '.join(_WEIGHTS)}) in the folder {given}")
    return [load_model(file, arch) for file in files]
