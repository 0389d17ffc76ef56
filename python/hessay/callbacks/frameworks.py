"""The same scan as a callback of PyTorch Lightning and of the Trainer of Hugging Face."""

from __future__ import annotations

import importlib
from typing import Any

from hessay.callbacks.periodic import PeriodicScan
from hessay.errors import ArgumentError


def lightning_callback(scan: PeriodicScan) -> Any:
    """Make a callback for ``Trainer(callbacks=[...])`` of PyTorch Lightning.

    Parameters
    ----------
    scan : PeriodicScan
        Its step is the number of finished epochs: ``every=1`` scans after each. The LightningModule's
        forward must give the logits.

    Raises
    ------
    ArgumentError
        Neither ``lightning`` nor ``pytorch_lightning`` is installed.
    """
    base = _first_found("Callback", "lightning.pytorch", "pytorch_lightning")

    class HessayCallback(base):  # type: ignore[misc, valid-type]
        """Scans after epochs."""

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.is_global_zero or trainer.sanity_checking:
                return
            scan(pl_module, trainer.current_epoch + 1)
            if scan.should_stop:
                trainer.should_stop = True

    return HessayCallback()


def trainer_callback(scan: PeriodicScan) -> Any:
    """Make a callback for ``Trainer(callbacks=[...])`` of Hugging Face Transformers.

    Parameters
    ----------
    scan : PeriodicScan
        Its step is the number of finished epochs. For token ids in the probe, ``wrt`` names the
        embedding.

    Raises
    ------
    ArgumentError
        ``transformers`` is not installed.
    """
    base = _first_found("TrainerCallback", "transformers")

    class HessayCallback(base):  # type: ignore[misc, valid-type]
        """Scans after epochs."""

        def on_epoch_end(
            self, _args: Any, state: Any, control: Any, model: Any = None, **_more: Any
        ) -> None:
            if not state.is_world_process_zero or model is None:
                return
            scan(model, round(state.epoch))
            if scan.should_stop:
                control.should_training_stop = True

    return HessayCallback()


def _first_found(name: str, *modules: str) -> Any:
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except ImportError:
            continue
    package = modules[0].partition(".")[0]
    raise ArgumentError(f"{' or '.join(modules)} is not installed; pip install {package}")
