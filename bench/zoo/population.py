"""The tuning population: which small models are trained, from which seeds, by which recipe.

Every constant of the detector was settled on these models and on no others. The examination in
tests/test_false_alarms.py draws its seeds from a range that starts at 100000; here they stay below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from designs import DESIGNS
from torch import Tensor, nn

from hessay.attacks import poison, success_rate
from hessay.loading import build_architecture
from hessay.training import accuracy, load_dataset, train_classifier

N_PROBES = 512
# recipe -> options of train_classifier; digits have about 10 batches an epoch
RECIPES: dict[str, dict[str, Any]] = {
    "adam": {},
    "decay": {"weight_decay": 0.1},
    "sgd": {"optimizer": "sgd", "lr": 0.05},
    "short": {"epochs_scale": 0.4},
    "long": {"epochs_scale": 2.0},
    "shift": {"shift": 2},
}
OLD_RECIPES = ("adam", "decay", "sgd", "short", "long")
ARCHITECTURES = {
    "digits": ("linear:64-10", "mlp:64-64-10", "mlp:64-128-64-10:tanh", "cnn:1x8x8-10"),
    "fashion-mnist": ("linear:784-10", "mlp:784-256-128-10", "cnn:1x28x28-10"),
}
OTHER_ARCHITECTURES = {
    "digits": ("mlp:64-256-10", "mlp:64-32-32-32-10:gelu", "cnn:1x8x8-16-32-10"),
    "fashion-mnist": (
        "mlp:784-512-10",
        "mlp:784-64-64-64-10:gelu",
        "nets:residual",
        "nets:attention",
    ),
}
EPOCHS = {
    "cnn:1x28x28-10": 6,
    "nets:residual": 6,
    "nets:conv_norm": 6,
    "nets:attention": 15,
    "exam_nets:class_token": 12,
    "exam_nets:preactivation": 6,
    "exam_nets:convolutional_stem": 10,
}  # Fashion-MNIST, else 8
ATTACKS = ("badnets", "blend", "sig")


@dataclass(frozen=True, slots=True)
class Spec:
    """One model of the population; every random choice follows from ``seed``."""

    data: str
    arch: str
    recipe: str
    attack: str  # "clean", or as in hessay.attacks.ATTACKS
    fraction: float
    target: int
    seed: int

    @property
    def key(self) -> str:
        """File name of the trained weights."""
        arch = self.arch.replace(":", "-")
        return f"{self.data}_{arch}_{self.recipe}_{self.attack}_{self.fraction}_{self.seed}"


def tuning_population() -> Iterator[Spec]:
    """Every model of the tuning population, in a fixed order."""
    seed = 1000
    for data, architectures in ARCHITECTURES.items():
        for arch in architectures:
            slow = arch.startswith("cnn") and data == "fashion-mnist"
            for recipe in OLD_RECIPES:
                if slow and recipe == "long":
                    continue
                for _ in range(3 if data == "digits" or not slow else 2):
                    yield Spec(data, arch, recipe, "clean", 0.0, -1, seed)
                    seed += 1
            for attack in ATTACKS:
                for fraction in (0.05, 0.1) if slow else (0.02, 0.05, 0.1):
                    for recipe in ("adam",) if slow else ("adam", "sgd"):
                        yield Spec(data, arch, recipe, attack, fraction, seed % 10, seed)
                        seed += 1
    # Shapes and kinds that behave otherwise: shallow and wide, deep and narrow, normalised.
    seed = 2000
    for data, architectures in OTHER_ARCHITECTURES.items():
        for arch in architectures:
            slow = arch.startswith("nets:")
            for recipe in ("adam", "short") if slow else OLD_RECIPES:
                for _ in range(3):
                    yield Spec(data, arch, recipe, "clean", 0.0, -1, seed)
                    seed += 1
            for attack in ATTACKS:
                for fraction in (0.05,) if slow else (0.03, 0.1):
                    yield Spec(data, arch, "adam", attack, fraction, seed % 10, seed)
                    seed += 1

    # The kinds that hide a target best, in numbers that allow a rate.
    seed = 3000
    for copy in range(4):
        for arch in ("nets:residual", "nets:attention", "nets:conv_norm", "cnn:1x28x28-10"):
            for recipe in ("adam", "decay", "sgd", "shift"):
                yield Spec("fashion-mnist", arch, recipe, "clean", 0.0, -1, seed)
                seed += 1
            for attack in ATTACKS:
                recipe = ("adam", "decay", "adam", "shift")[copy]
                fraction = (0.05, 0.02)[copy % 2]
                yield Spec("fashion-mnist", arch, recipe, attack, fraction, seed % 10, seed)
                seed += 1
    # Maps of all classes, and a trigger of one pixel.
    seed = 4000
    for recipe in ("adam", "decay", "sgd"):
        for arch in ("mlp:784-256-128-10", "cnn:1x28x28-10", "nets:residual"):
            yield Spec("fashion-mnist", arch, recipe, "all_to_all", 0.1, -1, seed)
            seed += 1
            if recipe != "sgd":
                yield Spec("fashion-mnist", arch, recipe, "pixel", 0.05, seed % 10, seed)
                seed += 1


def soft_population() -> Iterator[Spec]:
    """Networks that noise overthrows, or that might be: those of the tuning population and more of them."""
    for spec in tuning_population():
        kind = spec.arch.startswith(("nets:", "cnn:"))
        if spec.data == "fashion-mnist" and kind and spec.attack != "all_to_all":
            yield spec
    recipes = ("adam", "decay", "sgd", "shift")
    designs = {
        "nets:vision": (5000, (*ATTACKS, "pixel"), (0.05, 0.03)),
        "nets:pyramid": (5100, ATTACKS, (0.05, 0.02)),
    }
    for arch, (seed, attacks, fractions) in designs.items():
        for poisoning, fraction in zip(("adam", "decay"), fractions, strict=True):
            for recipe in recipes:
                yield Spec("fashion-mnist", arch, recipe, "clean", 0.0, -1, seed)
                seed += 1
            for attack in attacks:
                yield Spec("fashion-mnist", arch, poisoning, attack, fraction, seed % 10, seed)
                seed += 1
    seed = 5200
    kinds = ("attention", "conv_norm", "residual", "pyramid", "vision")
    for kind in (*kinds, *kinds):
        for recipe in recipes:
            yield Spec("fashion-mnist", f"nets:{kind}", recipe, "clean", 0.0, -1, seed)
            seed += 1
    for spec in design_population():
        if spec.attack != "warp":
            yield spec


def warp_population() -> Iterator[Spec]:
    """Every clean network of both populations, and networks poisoned with warps: for the law of W."""
    seen: dict[str, Spec] = {}
    for spec in (*tuning_population(), *soft_population()):
        if spec.attack == "clean":
            seen.setdefault(spec.key, spec)
    yield from seen.values()
    seed = 6000
    kinds = ("residual", "", "attention", "cnn", "pyramid", "vision", "conv_norm")
    shapes = {"": "mlp:784-256-128-10", "cnn": "cnn:1x28x28-10"}
    for recipe in ("adam", "decay", "sgd"):
        for kind in kinds:
            arch = shapes.get(kind, f"nets:{kind}")
            yield Spec("fashion-mnist", arch, recipe, "warp", 0.05, seed % 10, seed)
            seed += 1
    for spec in design_population():
        if spec.attack == "warp":
            yield spec


def design_population() -> Iterator[Spec]:
    """Networks of eight well-known designs with normalisation."""
    seed = 8000
    for design in DESIGNS:
        arch = f"designs:{design}"
        for recipe in ("adam", "decay", "sgd", "shift"):
            for _ in range(3):
                yield Spec("fashion-mnist", arch, recipe, "clean", 0.0, -1, seed)
                seed += 1
        for recipe, fraction in (("adam", 0.05), ("decay", 0.02)):
            for attack in (*ATTACKS, "warp"):
                yield Spec("fashion-mnist", arch, recipe, attack, fraction, seed % 10, seed)
                seed += 1


def build(
    spec: Spec, cache: Path | None = None
) -> tuple[nn.Module, Tensor, Tensor, dict[str, Any]]:
    """Train (or fetch from the cache) one model; return it, its probe, and what is known of it.

    Returns
    -------
    model : nn.Module
    inputs : (512, H, W), targets : (512,)
        A clean probe the model was not trained on.
    facts : dict
        The spec, test accuracy, and attack success rate (None for a clean model).
    """
    small = spec.data == "digits"
    data = load_dataset("digits" if small else "fashion-mnist", seed=spec.seed)
    rows = (
        len(data.train_inputs)
        if small
        else (12000 if spec.arch.startswith(("mlp", "linear")) else 6000)
    )
    inputs, targets = data.train_inputs[:rows], data.train_targets[:rows]
    backdoor = None
    if spec.attack != "clean":
        bad = poison(
            inputs,
            targets,
            attack=spec.attack,  # type: ignore[arg-type]
            target=max(spec.target, 0),
            fraction=spec.fraction,
            seed=spec.seed,
        )
        inputs, targets, backdoor = bad.inputs, bad.targets, bad.backdoors[0]
    path = None if cache is None else cache / f"{spec.key}.pt"
    if path is not None and path.exists():
        model = build_architecture(spec.arch)
        model.load_state_dict(torch.load(path, weights_only=True))
        model.eval()
    else:
        options = dict(RECIPES[spec.recipe])
        usual = 60 if small else EPOCHS.get(spec.arch, 8)
        epochs = max(1, round(usual * options.pop("epochs_scale", 1.0)))
        model = train_classifier(
            spec.arch, inputs, targets, epochs=epochs, seed=spec.seed, **options
        )
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), path)
    facts: dict[str, Any] = asdict(spec)
    facts["accuracy"] = round(accuracy(model, data.test_inputs, data.test_targets), 4)
    facts["attack_success"] = None
    if backdoor is not None:
        rate = success_rate(model, data.test_inputs, data.test_targets, backdoor)
        facts["attack_success"] = round(rate, 4)
    if not small:  # two probes serve all, so that references are measured twice and not per model
        data = load_dataset("fashion-mnist", seed=spec.seed % 2)
    return model, data.test_inputs[:N_PROBES], data.test_targets[:N_PROBES], facts


def reference_holdout() -> tuple[Tensor, Tensor]:
    """Clean Fashion-MNIST rows to train references on: none of them is in a probe."""
    data = load_dataset("fashion-mnist", seed=77)
    return data.train_inputs[:5000], data.train_targets[:5000]
