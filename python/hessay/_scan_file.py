"""The one way from three names on a command line to a report; ``scan`` and ``demo`` both take it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hessay.detector import scan
from hessay.detector.plan import Plan
from hessay.detector.reference_table import ReferenceTable
from hessay.errors import ArgumentError
from hessay.loading import load_model
from hessay.loading.hub import local_weights
from hessay.loading.images import is_pictures
from hessay.loading.picture_stream import PictureStream
from hessay.loading.preprocessing import Preprocessing
from hessay.probe import Probe
from hessay.references import reference_models
from hessay.report import Report

if TYPE_CHECKING:
    from torch import nn

_WEIGHTS = (".safetensors", ".pt", ".pth")
_GRAPHS = (".pt2", ".onnx")
_GRAPH = "a graph in the file that computes something else than {arch}: its weights were read, not the graph"


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
    device: str = "cpu",
    progress: Callable[[str, float], None] | None = None,
) -> Report:
    """Load weights and probe from files, scan, and note the names in the report.

    Parameters
    ----------
    weights : path
        ``.safetensors`` file or index, state dict, ``.pt2``, ``.onnx``, or ``hf:ORG/NAME@REVISION``.
    arch : str
        Registered architecture or ``module:factory``.
    data : path
        ``.npz`` file with ``inputs`` and, optionally, ``targets``; or pictures.
    alpha : float in (0, 1)
        Level of the test.
    references : path, "train", "own" or None
        File of reference networks, or a folder of weights of the same architecture as the model.
    holdout : path or None
        ``.npz`` file of labelled clean data, for ``references="train"`` or ``"own"``.
    wrt : "input" or the name of a module
        Where the model is examined; for token ids, the embedding.
    seed : int, >= 0
    preprocessing : path or None
        JSON that says how pictures become inputs; by default the one beside the weights.
    device : str
        Where the model runs, as torch names it.
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
    scans = FileScans(
        arch,
        data,
        alpha=alpha,
        references=references,
        holdout=holdout,
        wrt=wrt,
        seed=seed,
        preprocessing=preprocessing,
        device=device,
    )
    return scans.scan(weights, progress)


class FileScans:
    """Scans of one file of weights after another, with the same probe and references.

    References are trained and measured for the first of them. As long as the files stay as they are,
    the next scans measure their own model only, and say the same as they would alone.
    """

    def __init__(
        self,
        arch: str,
        data: str | os.PathLike[str],
        *,
        alpha: float = 0.01,
        references: str | os.PathLike[str] | None = None,
        holdout: str | os.PathLike[str] | None = None,
        wrt: str = "input",
        seed: int = 0,
        preprocessing: str | os.PathLike[str] | None = None,
        device: str = "cpu",
    ) -> None:
        """Take the options of :func:`scan_file`; nothing is loaded yet."""
        self._arch, self._data, self._preprocessing = arch, data, preprocessing
        self._alpha, self._wrt, self._seed = alpha, wrt, seed
        self._references, self._holdout, self._device = references, holdout, device
        self._kept: tuple[object, ReferenceTable] | None = None

    def scan(
        self,
        weights: str | os.PathLike[str],
        progress: Callable[[str, float], None] | None = None,
    ) -> Report:
        """Scan one file; see :func:`scan_file`."""
        if progress is not None:
            progress("loading model and probe", 0.0)
        # A factory or a model that prints must not get between the reader and the report.
        with contextlib.redirect_stdout(sys.stderr):
            model = load_model(weights, self._arch, device=self._device)
            how = pictures_as(self._preprocessing, weights, self._data, self._holdout)
            probe = load_probe(self._data, how)
            source = local_weights(weights)[1]
            report = self._scan(model, probe, how, source, progress)
        given = {
            "arch": self._arch,
            "data": self._data,
            "references_from": self._references,
            "holdout_from": self._holdout,
            "preprocessing": self._preprocessing,
        }
        names = {name: os.fspath(value) for name, value in given.items() if value is not None}
        missed = report.not_excluded
        if missed and Path(source).suffix.lower() in _GRAPHS:
            missed += (_GRAPH.format(arch=self._arch),)
        return dataclasses.replace(
            report, settings={**report.settings, **names}, not_excluded=missed
        )

    def _scan(
        self,
        model: nn.Module,
        probe: Probe,
        how: Preprocessing | None,
        source: str,
        progress: Callable[[str, float], None] | None,
    ) -> Report:
        options: Any = {"alpha": self._alpha, "seed": self._seed, "progress": progress}
        if self._references is None or self._wrt != "input":
            return scan(
                model,
                probe,
                references=self._references,
                holdout=self._holdout,
                wrt=self._wrt,
                source=source,
                **options,
            )
        plan = Plan.of(probe, **options)
        key = probe.digest, _stamp(self._references), _stamp(self._holdout)
        if self._kept is None or self._kept[0] != key:
            models = reference_models(
                _references(self._references, self._arch),
                None if self._holdout is None else load_probe(self._holdout, how),
                model,
                seed=self._seed,
                progress=progress,
            )
            assert models is not None
            self._kept = key, plan.references(models)
        return plan.scan(model, self._kept[1], source)


def _stamp(given: str | os.PathLike[str] | None) -> object:
    """Tell whether a file, or a folder's weights, may have changed since."""
    if given is None or not Path(given).exists():
        return given
    path = Path(given)
    files = sorted(f for f in path.iterdir() if f.suffix in _WEIGHTS) if path.is_dir() else [path]
    stats = [(f.name, f.stat()) for f in files]
    return [(name, s.st_mtime_ns, s.st_size, s.st_ino) for name, s in stats]


def pictures_as(
    preprocessing: str | os.PathLike[str] | None,
    weights: str | os.PathLike[str] | None,
    *data: str | os.PathLike[str] | None,
) -> Preprocessing | None:
    """Say how the pictures among ``data`` become inputs of a model.

    Parameters
    ----------
    preprocessing : path or None
        JSON that describes it; by default the one beside the weights, if there is one.
    weights : path, "hf:ORG/NAME@REVISION" or None
    *data : path or None
        Probes and training sets; arrays are left as they are.

    Raises
    ------
    ArgumentError
        The description cannot be read, or there are no pictures for the one that was given.
    """
    pictures = any(is_pictures(Path(path)) for path in data if path is not None)
    if preprocessing is not None:
        if not pictures:
            names = ", ".join(os.fspath(path) for path in data if path is not None)
            raise ArgumentError(f"{names} holds arrays; a preprocessing is for pictures only")
        return Preprocessing.read(Path(preprocessing))
    if not pictures or weights is None:
        return None
    return Preprocessing.beside(local_weights(weights)[0])


def load_probe(data: str | os.PathLike[str], how: Preprocessing | None, *, n: int = 512) -> Probe:
    """Load a probe of arrays, or of at most ``n`` pictures that become inputs as ``how`` says."""
    return Probe.load(data, preprocessing=how if is_pictures(Path(data)) else None, n=n)


def open_samples(
    data: str | os.PathLike[str], how: Preprocessing | None
) -> tuple[object, Sequence[str] | None]:
    """Open a training set for one pass, arrays or pictures; and the names of its rows, if any."""
    if not is_pictures(Path(data)):
        return data, None
    pictures = PictureStream(Path(data), how)
    return pictures, pictures.names


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
