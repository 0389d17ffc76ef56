"""Stepwise least squares: which columns explain y, chosen exactly, one or many outputs at a time.

Read in this order: ``design`` (the problem, checked), ``engine`` (the core's selection), ``criteria``,
``walk`` (forward, backward, both), ``path``; then ``cross_validation`` and ``permutation`` (other ways to
stop), ``rows`` (a fit that follows added and deleted rows), ``influence`` (what each row does to it),
``estimator`` (scikit-learn manners).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hessay.stepwise.influence import BlockInfluence, RowInfluence, block_influence, row_influence
from hessay.stepwise.path import delta_rss, stepwise_path
from hessay.stepwise.result import StepwisePath
from hessay.stepwise.rows import FittedRows

if TYPE_CHECKING:
    from hessay.stepwise.estimator import StepwiseRegression

__all__ = [
    "BlockInfluence",
    "FittedRows",
    "RowInfluence",
    "StepwisePath",
    "StepwiseRegression",
    "block_influence",
    "delta_rss",
    "row_influence",
    "stepwise_path",
]


def __getattr__(name: str) -> object:
    # scikit-learn is imported with the estimator alone
    if name == "StepwiseRegression":
        from hessay.stepwise.estimator import StepwiseRegression

        return StepwiseRegression
    raise AttributeError(f"module 'hessay.stepwise' has no attribute {name!r}")
