"""Watching a folder: checkpoints or data as they appear, one scan each, who is told of what."""

from hessay.monitor.batches import ExceedanceTest, combined, planned_delay
from hessay.monitor.drift import Drift, DriftDetector, EvidenceDetector, detector_for
from hessay.monitor.rules import Rates, Rule, Rules, load_rules
from hessay.monitor.settling import DATA_SUFFIXES, SUFFIXES, Checkpoint, Folder, Look
from hessay.monitor.watcher import Told, Watcher

__all__ = [
    "DATA_SUFFIXES",
    "SUFFIXES",
    "Checkpoint",
    "Drift",
    "DriftDetector",
    "EvidenceDetector",
    "ExceedanceTest",
    "Folder",
    "Look",
    "Rates",
    "Rule",
    "Rules",
    "Told",
    "Watcher",
    "combined",
    "detector_for",
    "load_rules",
    "planned_delay",
]
