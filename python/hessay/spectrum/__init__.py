"""Step 4 of the flow: extremal eigenpairs that say how sure they are."""

from hessay.spectrum.batch import EigenpairsBatch, eigsh_batch
from hessay.spectrum.drop_in import scipy_eigsh
from hessay.spectrum.lanczos import Eigenpairs, LanczosStats, Progress, WhichEnd, eigsh
from hessay.spectrum.operators import Operator, SupportsMatmul

__all__ = [
    "Eigenpairs",
    "EigenpairsBatch",
    "LanczosStats",
    "Operator",
    "Progress",
    "SupportsMatmul",
    "WhichEnd",
    "eigsh",
    "eigsh_batch",
    "scipy_eigsh",
]
