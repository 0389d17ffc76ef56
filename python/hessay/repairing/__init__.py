"""Repairs a backdoored classifier without retraining it.

Read in this order: ``steps`` (what must be made harmless), ``covariance`` (the matched filter), ``patches`` (what stands before a model),
``layer_edit`` (new weights in closed form), ``exam`` (what a patch is held against), ``candidates``
(which patches are tried), ``choose`` (one of them, or none), ``result``, ``files``.
"""

from __future__ import annotations

from hessay.repairing.choose import repair
from hessay.repairing.files import load_repaired
from hessay.repairing.result import Candidate, Condition, Repair

__all__ = ["Candidate", "Condition", "Repair", "load_repaired", "repair"]
