"""Constants that were measured once, on the tuning population of bench/zoo, and then frozen."""

from __future__ import annotations

from hessay.detector.calibration import CleanNull

CLEAN_NULL = CleanNull(start=0.4278, scale=0.0621, n_models=185, n_classes=10)
