"""hessay: a purity assay for neural networks, read from the spectrum of the input Hessian.

Names are loaded on first use, so importing the package costs neither torch nor the native core.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "BulkEdge",
    "Detector",
    "InputHessian",
    "Probe",
    "Ranking",
    "ReferenceModels",
    "Repair",
    "Report",
    "SpectralDensity",
    "StepwisePath",
    "StepwiseRegression",
    "TraceEstimate",
    "Verdict",
    "__version__",
    "delta_rss",
    "eigsh",
    "fit_edge",
    "load_model",
    "load_repaired",
    "outliers",
    "poison_report",
    "rank_samples",
    "repair",
    "row_influence",
    "scan",
    "scipy_eigsh",
    "spectral_density",
    "stepwise_path",
    "trace",
    "train_references",
]

_HOME = {
    "BulkEdge": "edge",
    "Detector": "detector",
    "InputHessian": "hessian",
    "Probe": "probe",
    "Ranking": "samples",
    "ReferenceModels": "reference_models",
    "Repair": "repairing",
    "Report": "report",
    "SpectralDensity": "density",
    "StepwisePath": "stepwise",
    "StepwiseRegression": "stepwise",
    "TraceEstimate": "density",
    "Verdict": "verdict",
    "delta_rss": "stepwise",
    "eigsh": "spectrum",
    "fit_edge": "edge",
    "load_model": "loading",
    "load_repaired": "repairing",
    "outliers": "verdict",
    "poison_report": "linear",
    "rank_samples": "samples",
    "repair": "repairing",
    "row_influence": "stepwise",
    "scan": "detector",
    "scipy_eigsh": "spectrum",
    "spectral_density": "density",
    "stepwise_path": "stepwise",
    "trace": "density",
    "train_references": "references",
}

if TYPE_CHECKING:
    from hessay.density import SpectralDensity, TraceEstimate, spectral_density, trace
    from hessay.detector import Detector
    from hessay.detector.scan import scan
    from hessay.edge import BulkEdge, fit_edge
    from hessay.hessian import InputHessian
    from hessay.linear import poison_report
    from hessay.loading import load_model
    from hessay.probe import Probe
    from hessay.reference_models import ReferenceModels
    from hessay.references import train_references
    from hessay.repairing import Repair, load_repaired, repair
    from hessay.report import Report
    from hessay.samples import Ranking, rank_samples
    from hessay.spectrum import eigsh, scipy_eigsh
    from hessay.stepwise import (
        StepwisePath,
        StepwiseRegression,
        delta_rss,
        row_influence,
        stepwise_path,
    )
    from hessay.verdict import Verdict, outliers


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f"hessay.{_HOME[name]}"), name)
    if not name.startswith("_"):
        try:
            return importlib.import_module(f"hessay.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"hessay.{name}":
                raise
    raise AttributeError(f"module 'hessay' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
