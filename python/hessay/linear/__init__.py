"""The linear side: what poisoned rows and columns do to a regression, and whether it can be seen."""

from hessay.linear.poison_search import PoisonReport, poison_report

__all__ = ["PoisonReport", "poison_report"]
