"""Networks with source-specific backdoors and clean ones beside them: who is tuned on, who is examined.

Every network of one architecture is trained alike (recipe "adam", another subset of the rows for every
seed), so that the clean ones are references of the scanned network's own architecture and recipe. The
constants were settled on "tuning"; "exam" has other seeds, an architecture and a pattern that "tuning" has
not, and was measured once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from population import EPOCHS, RECIPES
from torch import Tensor, nn

from hessay.attacks import poison, success_rate
from hessay.loading import build_architecture
from hessay.training import accuracy, load_dataset, train_classifier

KINDS = {
    "MLP": ("mlp:784-256-128-10", "mlp:784-300-100-10:tanh"),
    "CNN": ("cnn:1x28x28-10",),
}
TUNED = tuple(archs[0] for archs in KINDS.values())
PATTERNS = ("badnets", "blend", "sig")
FRACTIONS = (0.02, 0.05)
N_REFERENCES = 19
OTHER_RECIPES = ("decay", "sgd", "short", "shift")


@dataclass(frozen=True, slots=True)
class PairSpec:
    """One network; every random choice follows from ``seed``."""

    stage: str  # "tuning" or "exam"
    role: str  # "reference", "clean", "other" (clean, another recipe) or "poisoned"
    arch: str
    recipe: str
    pattern: str  # of the trigger; "clean" where there is none
    fraction: float
    seed: int

    @property
    def key(self) -> str:
        """File name of its weights and of what was measured on it."""
        arch = self.arch.replace(":", "-")
        return f"{arch}_{self.recipe}_{self.pattern}_{self.fraction}_{self.seed}"


def pair_population() -> Iterator[PairSpec]:
    """Every network, in a fixed order."""
    yield from _of("tuning", TUNED[0], 40_000, 17, 24, 40_036, PATTERNS)
    yield from _of("tuning", TUNED[1], 41_000, 2, 10, 41_036, PATTERNS)
    for kind, archs in enumerate(KINDS.values()):
        for number, arch in enumerate(archs):
            base = 740_000 + 2000 * kind + 1000 * number
            yield from _of("exam", arch, base, 6, 8, base + 27, (*PATTERNS, "line"))
            if kind == number == 0:
                for i, recipe in enumerate(OTHER_RECIPES):
                    yield PairSpec("exam", "other", arch, recipe, "clean", 0.0, base + 500 + i)


def _of(
    stage: str,
    arch: str,
    seed: int,
    n_clean: int,
    n_poisoned: int,
    first_poisoned: int,
    patterns: tuple[str, ...],
) -> Iterator[PairSpec]:
    for i in range(N_REFERENCES + n_clean):
        role = "reference" if i < N_REFERENCES else "clean"
        yield PairSpec(stage, role, arch, "adam", "clean", 0.0, seed + i)
    for i in range(n_poisoned):
        pattern = patterns[i % len(patterns)]
        fraction = FRACTIONS[(i // len(patterns)) % len(FRACTIONS)]
        yield PairSpec(stage, "poisoned", arch, "adam", pattern, fraction, first_poisoned + i)


def build_pair(spec: PairSpec, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Train one network, or fetch it; beside it what is known of it."""
    facts: dict[str, Any] = asdict(spec)
    weights, known = folder / f"{spec.key}.pt", folder / f"{spec.key}.facts"
    model = build_architecture(spec.arch)
    if weights.exists() and known.exists():
        model.load_state_dict(torch.load(weights, weights_only=True))
        return model.eval(), facts | torch.load(known, weights_only=True)
    data = load_dataset("fashion-mnist", seed=spec.seed)
    rows = 12_000 if spec.arch.startswith("mlp") else 6000
    inputs, targets = data.train_inputs[:rows], data.train_targets[:rows]
    bad = None
    if spec.pattern != "clean":
        bad = poison(
            inputs,
            targets,
            attack="source_specific",
            target=spec.seed % 10,
            fraction=spec.fraction,
            seed=spec.seed,
            pattern=spec.pattern,  # type: ignore[arg-type]
        )
        inputs, targets = bad.inputs, bad.targets
    options = dict(RECIPES[spec.recipe])
    epochs = max(1, round(EPOCHS.get(spec.arch, 8) * options.pop("epochs_scale", 1.0)))
    model = train_classifier(spec.arch, inputs, targets, epochs=epochs, seed=spec.seed, **options)
    found: dict[str, Any] = {
        "accuracy": round(accuracy(model, data.test_inputs, data.test_targets), 4),
    }
    if bad is not None:
        door = bad.backdoors[0]
        source = int((door.destination >= 0).nonzero()[0])
        found |= {"source": source, "target": spec.seed % 10}
        rate = success_rate(model, data.test_inputs, data.test_targets, door)
        found["attack_success"] = round(rate, 4)
        others = (data.test_targets != source) & (data.test_targets != spec.seed % 10)
        with torch.no_grad():
            sent = model(bad.trigger.apply(data.test_inputs[others])).argmax(dim=1)
        found["others_sent"] = round(float((sent == spec.seed % 10).double().mean()), 4)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), weights)
    torch.save(found, known)
    return model, facts | found


@cache
def probe_arrays() -> tuple[Tensor, Tensor]:
    """Return the probe of every scan here: 512 test pictures and their labels."""
    data = load_dataset("fashion-mnist", seed=1)
    return data.test_inputs[:512], data.test_targets[:512]
