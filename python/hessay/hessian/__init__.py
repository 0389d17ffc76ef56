"""Step 3 of the flow: derivatives of a model with respect to its input."""

from hessay.hessian.covariance import Covariance
from hessay.hessian.curvature import Weighting
from hessay.hessian.gauss_newton.factor import Factor
from hessay.hessian.gauss_newton.moment import Moment
from hessay.hessian.metric import MetricHessian
from hessay.hessian.model.freeze import frozen
from hessay.hessian.operator import InputHessian

__all__ = [
    "Covariance",
    "Factor",
    "InputHessian",
    "MetricHessian",
    "Moment",
    "Weighting",
    "frozen",
]
