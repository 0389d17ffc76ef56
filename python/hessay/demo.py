"""A clean and a poisoned network, trained on real pictures and scanned like anybody's files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from safetensors.torch import save_file

from hessay import attacks, render, training
from hessay._scan_file import scan_file
from hessay.errors import ArgumentError
from hessay.report import Report
from hessay.verdict import Verdict

DemoData = Literal["digits", "fashion-mnist"]
Progress = Callable[[str, float], None]

_N_PROBES = 512


@dataclass(frozen=True, slots=True)
class _Recipe:
    arch: str
    rows: int  # training pictures used
    epochs: int
    fraction: float  # of them poisoned


# Chosen for time alone: both networks and both scans well under a minute on one core.
_RECIPES: dict[str, _Recipe] = {
    "digits": _Recipe("mlp:64-64-10", 1198, 60, 0.05),
    "fashion-mnist": _Recipe("mlp:784-256-128-10", 12000, 8, 0.05),
}


@dataclass(frozen=True, slots=True)
class DemoResult:
    """One network of the demo: what was put into it, and what the scan found."""

    name: str
    target: int | None  # class the backdoor leads to; None for the clean network
    attack_success: float | None  # share of other test pictures the trigger moves there, [0, 1]
    accuracy: float  # on clean test pictures, [0, 1]
    report: Report
    weights: Path
    json: Path
    html: Path

    @property
    def as_expected(self) -> bool:
        """CLEAN for the clean network; FLAGGED with the true target for the poisoned one."""
        wanted = Verdict.CLEAN if self.target is None else Verdict.FLAGGED
        return self.report.verdict is wanted and self.report.flagged_class == self.target


def run_demo(
    data: DemoData = "digits",
    out: str | os.PathLike[str] = "hessay-demo",
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[DemoResult]:
    """Train, save, scan and write reports.

    Parameters
    ----------
    data : {"digits", "fashion-mnist"}
        Real pictures; the digits come with scikit-learn.
    out : path
        Folder for weights, probe and reports; created when missing, files in it are replaced.
    seed : int, >= 0
        Of the split, the training and the poison.
    progress : callable or None
        Called as ``progress(phase, share_done)``.

    Returns
    -------
    list of DemoResult
        The clean network, then the poisoned one.

    Raises
    ------
    ArgumentError
        Unknown data set, negative seed, or ``out`` cannot be written.
    ProbeError
        The data set is not installed.
    """
    if data not in get_args(DemoData):
        raise ArgumentError(f"data must be one of {', '.join(get_args(DemoData))}, got {data!r}")
    if seed < 0:
        raise ArgumentError(f"seed must be at least 0, got {seed}")
    tell = progress or _silent
    folder = _folder(out)
    recipe = _RECIPES[data]
    tell("reading the pictures", 0.0)
    pictures = training.load_dataset(data, seed=seed)
    inputs = pictures.train_inputs[: recipe.rows]
    targets = pictures.train_targets[: recipe.rows]
    probe = folder / "probe.npz"
    np.savez(
        probe,
        inputs=pictures.test_inputs[:_N_PROBES].numpy(),
        targets=pictures.test_targets[:_N_PROBES].numpy(),
    )
    target = (7 + seed) % len(pictures.classes)
    bad = attacks.poison(
        inputs, targets, attack="badnets", target=target, fraction=recipe.fraction, seed=seed
    )
    plans = (("clean", inputs, targets, None), ("poisoned", bad.inputs, bad.targets, bad.trigger))
    results = []
    for number, (name, train_inputs, train_targets, trigger) in enumerate(plans):
        model = training.train_classifier(
            recipe.arch,
            train_inputs,
            train_targets,
            epochs=recipe.epochs,
            seed=seed + number,
            progress=_part(tell, f"{name} network: ", number / 2, 0.4),
        )
        weights = folder / f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, weights)
        success = None
        if trigger is not None:
            success = attacks.attack_success_rate(
                model, pictures.test_inputs, pictures.test_targets, trigger, target
            )
        report = scan_file(
            weights,
            recipe.arch,
            probe,
            seed=seed,
            progress=_part(tell, f"{name} network: ", number / 2 + 0.4, 0.1),
        )
        files = folder / f"{name}.json", folder / f"{name}.html"
        render.write(report.to_json(), files[0])
        report.to_html(files[1])
        results.append(
            DemoResult(
                name,
                None if trigger is None else target,
                success,
                training.accuracy(model, pictures.test_inputs, pictures.test_targets),
                report,
                weights,
                *files,
            )
        )
    tell("done", 1.0)
    return results


def _folder(out: str | os.PathLike[str]) -> Path:
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"cannot make the folder {out}: {error}; name another with --out"
        ) from None
    if not os.access(folder, os.W_OK):
        raise ArgumentError(f"cannot write into {out}; name another folder with --out")
    return folder


def _part(tell: Progress, prefix: str, start: float, share: float) -> Progress:
    def report(phase: str, done: float) -> None:
        tell(prefix + phase, start + share * done)

    return report


def _silent(phase: str, share: float) -> None:
    """Progress for callers who want none."""
