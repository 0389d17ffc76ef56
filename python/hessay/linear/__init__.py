"""Linear models: what poison does to them, in the spectrum of their input Hessian and row by row.

``fit_ridge, fit_classes``      ridge with intercept, the smaller of both Gram matrices
``input_hessian_spectrum``      eigenpairs of ``2 W W'`` in raw, off-data and whitened coordinates
``examine``                     verdict against labels that are noise; fits again where poison hides
``poison_report``               poisoned rows and trigger columns of a table
"""

from __future__ import annotations

from hessay.linear.examine import Examination, examine
from hessay.linear.fit import RidgeModel, fit_classes, fit_ridge
from hessay.linear.hessian import HessianSpectrum, input_hessian, input_hessian_spectrum
from hessay.linear.inputs import CentredInputs, centred_inputs
from hessay.linear.poison_search import PoisonReport, poison_report
from hessay.linear.visibility import Visibility, best_ridge, ridge_visibility

__all__ = [
    "CentredInputs",
    "Examination",
    "HessianSpectrum",
    "PoisonReport",
    "RidgeModel",
    "Visibility",
    "best_ridge",
    "centred_inputs",
    "examine",
    "fit_classes",
    "fit_ridge",
    "input_hessian",
    "input_hessian_spectrum",
    "poison_report",
    "ridge_visibility",
]
