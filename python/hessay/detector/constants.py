"""Constants that were measured once, on the tuning population of bench/zoo, and then frozen."""

from __future__ import annotations

from hessay.detector.calibration import CleanNull

# S without references; largest z under the profile of 8 references; F, what a class map moves.
CLEAN_NULL = CleanNull(start=0.4278, scale=0.0621, n_models=185, n_classes=10)
PROFILE_NULL = CleanNull(start=2.3, scale=0.45, n_models=185, n_classes=10)
MAP_NULL = CleanNull(start=0.12, scale=0.03, n_models=185, n_classes=10)
