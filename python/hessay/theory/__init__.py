"""What poison does to linear models and what of it can be seen: predictions on plain numbers.

``poisoned_ridge``  two classes: shift, attack success, accuracy, for any input covariance
``multi_output``    several classes: spectrum of the input Hessian, detectability, sign condition
``haar``            exact simulation of the null and of poisoned spectra
``planning``        smallest detectable poison; ``probes``, how many of them
``delay``           time until an alarm
``plan``            all of it as a monitoring plan

Setting: Granziol & Flynn, arXiv 2505.15175; the laws were derived independently. Equations and
their limits: docs/random-matrix-theory.md.
"""

from __future__ import annotations

from hessay.theory import (
    delay,
    haar,
    multi_output,
    plan,
    planning,
    poisoned_ridge,
    population,
    probes,
)
from hessay.theory.plan import MonitoringPlan, monitoring_plan
from hessay.theory.population import Population, equivalent_ridge

__all__ = [
    "MonitoringPlan",
    "Population",
    "delay",
    "equivalent_ridge",
    "haar",
    "monitoring_plan",
    "multi_output",
    "plan",
    "planning",
    "poisoned_ridge",
    "population",
    "probes",
]
