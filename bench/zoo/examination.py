"""The examination population: written down before any of its models was trained, and drawn once.

Other seeds than the tuning population (from 700000), four architectures that are not in it, three
attacks that are not in it (warp, line, faint). Nothing is chosen on these models.
"""

from __future__ import annotations

from collections.abc import Iterator

from population import Spec

SEED = 700_000
SEEN = ("mlp:784-256-128-10", "cnn:1x28x28-10", "nets:residual", "nets:attention")
UNSEEN = (
    "mlp:784-300-100-10:tanh",
    "exam_nets:lenet",
    "exam_nets:pyramid",
    "exam_nets:vision",
)
FAMILIES = {
    "MLP": ("linear:784-10", "mlp:784-256-128-10", "mlp:784-300-100-10:tanh"),
    "CNN": ("cnn:1x28x28-10", "exam_nets:lenet"),
    "residual": ("nets:residual", "exam_nets:pyramid"),
    "ViT": ("nets:attention", "exam_nets:vision"),
}
RECIPES = ("adam", "decay", "sgd", "shift")
ONE_TARGET = ("badnets", "blend", "sig", "warp", "line", "faint")
ALL_TO_ALL = ("mlp:784-256-128-10", "cnn:1x28x28-10", "exam_nets:lenet", "nets:residual")


def examination() -> Iterator[Spec]:
    """Every model of the examination, in a fixed order."""
    seed = SEED
    for copy in range(3):
        for arch in (*SEEN, *UNSEEN):
            for recipe in RECIPES:
                yield Spec("fashion-mnist", arch, recipe, "clean", 0.0, -1, seed)
                seed += 1
        for number, arch in enumerate((*SEEN, *UNSEEN)):
            for kind, attack in enumerate(ONE_TARGET):
                if copy == 1 or (copy == 2 and kind % 2 == number % 2):
                    continue
                fraction = 0.05 if copy == 0 else 0.02
                recipe = RECIPES[(number + kind + copy) % 4]
                yield Spec("fashion-mnist", arch, recipe, attack, fraction, seed % 10, seed)
                seed += 1
        for number, arch in enumerate(ALL_TO_ALL):
            recipe = RECIPES[(number + copy) % 3]  # a shifted trigger hardly teaches them
            yield Spec("fashion-mnist", arch, recipe, "all_to_all", 0.1, -1, seed)
            seed += 1
    for recipe in RECIPES:
        yield Spec("fashion-mnist", "linear:784-10", recipe, "clean", 0.0, -1, seed)
        seed += 1
