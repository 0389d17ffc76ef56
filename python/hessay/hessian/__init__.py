"""Step 3 of the flow: derivatives of a model with respect to its input."""

from hessay.hessian.curvature import Weighting
from hessay.hessian.factor import Factor
from hessay.hessian.freeze import frozen
from hessay.hessian.metric import ProjectedHessian
from hessay.hessian.operator import InputHessian

__all__ = ["Factor", "InputHessian", "ProjectedHessian", "Weighting", "frozen"]
