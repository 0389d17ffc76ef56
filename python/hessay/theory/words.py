"""A monitoring plan in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hessay.theory.delay import Delay
    from hessay.theory.plan import MonitoringPlan

__all__ = ["sentences"]


def sentences(plan: MonitoringPlan) -> tuple[str, ...]:
    """Say which ridge, which poison can be seen, how often to scan, and with how many probes."""
    said = [_spectrum(plan), _known(plan), _schedule(plan), _probes(plan), _blind(plan)]
    return (*(sentence for sentence in said if sentence), _SCOPE)


_SCOPE = (
    "These numbers are for a linear model on white Gaussian inputs whose classes have the same mean;"
    " correlated inputs and class structure change them."
)


def _spectrum(plan: MonitoringPlan) -> str:
    if plan.ridge_unknown is None:
        return (
            "Without a suspected trigger nothing can be seen: at none of these ridges does the"
            f" spectrum show a trigger of strength {plan.strength:g} with a power of"
            f" {_share(plan.power)}; give larger ridges or more rows."
        )
    row = next(row for row in plan.ridges if row.ridge == plan.ridge_unknown)
    return (
        f"Without a suspected trigger, scan at ridge {row.ridge:g}: from {_share(row.theta_unknown)}"
        f" of {_source(plan)} on, the spectrum shows the poison with a power of {_share(plan.power)}."
    )


def _known(plan: MonitoringPlan) -> str:
    if plan.ridge_known is None:
        return "Even a known trigger cannot be confirmed at these sizes; collect more rows."
    row = next(row for row in plan.ridges if row.ridge == plan.ridge_known)
    return (
        f"With a suspected trigger, test its shift at ridge {row.ridge:g}:"
        f" {_share(row.theta_known)} of {_source(plan)} is enough."
    )


def _schedule(plan: MonitoringPlan) -> str:
    row = next(row for row in plan.schedule if row.every == plan.every)
    delay = row.unknown or row.known
    step = "every batch" if plan.every == 1 else f"every {plan.every} batches"
    if delay.missed > 0.5:
        return (
            f"Poison at {_share(plan.theta)} of {_source(plan)} in arriving data mostly stays unseen for"
            f" {plan.horizon} batches, whatever the schedule: the least bad, a scan {step}, misses it with a"
            f" chance of up to {_share(delay.missed)}. Plan for more rows, a longer horizon or a larger ridge."
        )
    text = (
        f"Scan {step} of {plan.batch} rows ({delay.scans} scans in {plan.horizon} batches):"
        f" poison at {_share(plan.theta)} of {_source(plan)} in arriving data is found after"
        f" {_between(delay)} batches"
    )
    if delay.missed > 1 - plan.power:
        return (
            f"{text}; with a chance of up to {_share(delay.missed)} it is not found in that time."
        )
    return f"{text}."


def _probes(plan: MonitoringPlan) -> str:
    probes = "one probe is enough for the Hessian itself, which is the same at every input"
    if plan.probes_confirm is None:
        return f"The trigger does not raise its success rate, so no probes confirm it; {probes}."
    return (
        f"To confirm a suspected trigger, put it on {plan.probes_confirm} clean inputs: it moves"
        f" {_share(plan.success_poisoned)} of them to the target in a poisoned model and"
        f" {_share(plan.success_clean)} in a clean one; {plan.probes_rate} inputs give the rate to"
        f" +-5 points, and {probes}."
    )


def _blind(plan: MonitoringPlan) -> str:
    blind = [f"{row.ridge:g}" for row in plan.ridges if row.visibility <= 1]
    if not blind:
        return ""
    plural = "s" if len(blind) > 1 else ""
    return (
        f"Do not scan at ridge{plural} {', '.join(blind)}: there faint poison lowers its eigenvalue,"
        " and no test on the largest one can see it however well the attack works."
    )


def _between(delay: Delay) -> str:
    low, high = f"{delay.at_least:.1f}", f"{delay.at_most:.1f}"
    return f"about {high}" if low == high else f"{low} to {high}, more likely {high},"


def _share(theta: float | None) -> str:
    return "none" if theta is None else f"{100 * theta:.3g} %"


def _source(plan: MonitoringPlan) -> str:
    return "its source class" if plan.mode == "one" else "all rows outside the target"
