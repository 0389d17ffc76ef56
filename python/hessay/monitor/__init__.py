"""Watching a run: checkpoints as they appear, one scan each, who is told of what."""

from hessay.monitor.drift import Drift, DriftDetector
from hessay.monitor.rules import Rates, Rule, Rules, load_rules
from hessay.monitor.settling import Checkpoint, Folder, Look
from hessay.monitor.watcher import Told, Watcher

__all__ = [
    "Checkpoint",
    "Drift",
    "DriftDetector",
    "Folder",
    "Look",
    "Rates",
    "Rule",
    "Rules",
    "Told",
    "Watcher",
    "load_rules",
]
