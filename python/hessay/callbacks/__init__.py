"""Scans inside a training run: a plain loop, PyTorch Lightning, the Trainer of Hugging Face.

The frameworks are imported when their callback is made, not before.
"""

from hessay.callbacks.frameworks import lightning_callback, trainer_callback
from hessay.callbacks.periodic import Logits, PeriodicScan

__all__ = ["Logits", "PeriodicScan", "lightning_callback", "trainer_callback"]
