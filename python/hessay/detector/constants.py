"""Constants that were measured once, on the tuning population of bench/zoo, and then frozen."""

from __future__ import annotations

from hessay.detector.calibration import CleanNull

# S without references; largest z under the profile of 8 references; F, what a class map moves.
CLEAN_NULL = CleanNull(start=0.4031, scale=0.0743, n_models=249, n_classes=10)
# S of networks that noise overthrows, as hessay.detector.soft measures it (bench/zoo/soft.py).
SOFT_NULL = CleanNull(start=0.3046, scale=0.0457, n_models=160, n_classes=10)
# S, F and W of networks with recurrent layers (bench/zoo/recurrent.py).
RECURRENT_NULL = CleanNull(start=0.6946, scale=0.1244, n_models=69, n_classes=10)
RECURRENT_MAP_NULL = CleanNull(start=0.2453, scale=0.0657, n_models=69, n_classes=10)
RECURRENT_WARP_NULL = CleanNull(start=0.7675, scale=0.134, n_models=69, n_classes=10)
# S of networks on feature vectors (bench/zoo/tabular.py).
TABLE_NULL = CleanNull(start=0.4629, scale=0.1607, n_models=110, n_classes=10)
PROFILE_NULL = CleanNull(start=2.0225, scale=0.4302, n_models=144, n_classes=10)
# z with 8 references of the scanned model's own architecture (bench/zoo/own_architecture.py).
OWN_PROFILE_NULL = CleanNull(start=2.0717, scale=0.3817, n_models=144, n_classes=10)
MAP_NULL = CleanNull(start=0.0557, scale=0.0731, n_models=249, n_classes=10)
# W, what smooth warps of pictures do, of plain networks and of soft ones (bench/zoo/warp.py).
WARP_NULL = CleanNull(start=0.478, scale=0.0899, n_models=239, n_classes=10)
SOFT_WARP_NULL = CleanNull(start=0.4355, scale=0.1236, n_models=161, n_classes=10)
# S of two and three classes (bench/zoo/few_classes.py).
FEW_CLASSES_NULL = {
    2: CleanNull(start=0.9248, scale=0.2219, n_models=324, n_classes=2),
    3: CleanNull(start=0.8448, scale=0.2049, n_models=324, n_classes=3),
}
