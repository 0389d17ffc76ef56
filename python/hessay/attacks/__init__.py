"""Poison simulators: the published backdoors and a control, for evaluation only.

A detector is only worth what it finds, so the demo, the tests and the benchmarks need models that
are known to be poisoned. Nothing here is meant for use against anybody's model; the attacks are
the published ones, at strengths that teach small networks, and every random choice is seeded.

One call poisons: :func:`poison` takes a data set and the name of an attack, and returns the
poisoned data set with the truth about it. ``ATTACKS`` describes every name.
:func:`train_adaptive` trains on it while hiding from the detector.
"""

from hessay.attacks.adaptive import train_adaptive
from hessay.attacks.catalogue import ATTACKS, Attack, AttackInfo, Kind, Pattern, list_attacks
from hessay.attacks.patterns import make_trigger
from hessay.attacks.poisoning import poison
from hessay.attacks.triggers import AnyTrigger, FeatureOffset, Trigger, Warp
from hessay.attacks.truth import Backdoor, Poisoned, attack_success_rate, success_rate

__all__ = [
    "ATTACKS",
    "AnyTrigger",
    "Attack",
    "AttackInfo",
    "Backdoor",
    "FeatureOffset",
    "Kind",
    "Pattern",
    "Poisoned",
    "Trigger",
    "Warp",
    "attack_success_rate",
    "list_attacks",
    "make_trigger",
    "poison",
    "success_rate",
    "train_adaptive",
]
