"""Constants that were measured once, on the tuning population of bench/zoo, and then frozen."""

from __future__ import annotations

from hessay.detector.calibration import CleanNull

# S without references; largest z under the profile of 8 references; I.
CLEAN_NULL = CleanNull(start=0.4278, scale=0.0621, n_models=185, n_classes=10)
PROFILE_NULL = CleanNull(start=2.3, scale=0.45, n_models=185, n_classes=10)
INTERACTION_NULL = CleanNull(start=0.55, scale=0.1, n_models=185, n_classes=10)
MIN_MAP_RATE = 0.3  # of the probes that a class map has to move; clean models stay below 0.2
