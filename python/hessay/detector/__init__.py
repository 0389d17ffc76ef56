"""Composes the flow into a verdict on one model.

Read in this order: ``statistics`` (what is measured), ``measure`` (on which models it may be),
``validity`` (when it must not be believed), ``calibration`` (from S to a p-value), ``decide``,
``evidence``, ``scan``.
"""

from __future__ import annotations

from hessay.detector.detector import Detector
from hessay.detector.scan import scan

__all__ = ["Detector", "scan"]
