"""One interface to every attack: a data set in, a poisoned data set and the truth about it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from hessay.attacks.catalogue import ATTACKS, Attack, AttackInfo, Pattern
from hessay.attacks.checks import (
    check_data,
    check_model,
    class_count,
    drawn,
    other_class,
    require_class,
)
from hessay.attacks.clean_label import AdversarialBudget, adversarial, faint_and_full_sinusoid
from hessay.attacks.patterns import four_corners, make_trigger
from hessay.attacks.triggers import AnyTrigger
from hessay.attacks.truth import Backdoor, Poisoned
from hessay.errors import ArgumentError


def poison(
    inputs: Tensor,
    targets: Tensor,
    *,
    attack: Attack,
    target: int,
    fraction: float,
    seed: int = 0,
    pattern: Pattern | None = None,
    source: int | None = None,
    model: nn.Module | None = None,
    n_classes: int | None = None,
) -> Poisoned:
    """Poison a share of a training set. For evaluation only.

    Parameters
    ----------
    inputs : (n, H, W) or (n, C, H, W) float, in [0, 1]; (n, d) float for a table
        Training inputs; not changed. A table takes the attacks of ``list_attacks(tabular=True)``.
    targets : (n,) integer in [0, C)
        Their labels; not changed.
    attack : str
        One of the names in ``ATTACKS``, where each is described.
    target : int
        The class the backdoor leads to; of "two_triggers" the first one leads there and the second
        to a class drawn by the seed; of "shortcut" the class that carries the watermark. Unused by
        "all_to_all", where every class leads to the next.
    fraction : float in (0, 1)
        Poisoned rows as a share of n. Label-changing attacks draw them from the other classes,
        "source_specific" from the source class (and as many cover rows from the rest), the
        clean-label attacks and "shortcut" from the target class.
    seed : int
        Chooses the rows, the triggers, and whatever classes the caller leaves open.
    pattern : str or None
        Trigger of "source_specific", "all_to_all", "two_triggers" and "shortcut": any of the
        patterns of :func:`make_trigger`. None takes a patch, on a table an offset of features.
    source : int or None
        Source class of "source_specific"; None draws one.
    model : nn.Module or None
        The classifier "clean_label_adversarial" perturbs against, in eval mode; None trains a
        small one on the clean data.
    n_classes : int or None
        C; None counts the classes that occur, and the target.

    Returns
    -------
    Poisoned

    Raises
    ------
    ArgumentError
        Unknown attack, an option that does not belong to it, fraction or class out of range, or
        too few rows of the classes the attack draws from.
    ShapeError, ProbeError
        ``inputs`` fit not the attack, ``targets`` do not match them or hold no class numbers,
        inputs are not finite, or pictures not in [0, 1].

    Examples
    --------
    >>> pictures, labels = torch.rand(100, 8, 8), torch.arange(100) % 10
    >>> bad = poison(pictures, labels, attack="badnets", target=3, fraction=0.05, seed=1)
    >>> bad.rows.numel(), bool((bad.targets[bad.rows] == 3).all())
    (5, True)
    >>> bad = poison(pictures, labels, attack="all_to_all", target=0, fraction=0.05)
    >>> bad.backdoors[0].destination.tolist()
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    """
    info = _info(attack)
    check_data(inputs, targets, info)
    if not 0.0 < fraction < 1.0:
        raise ArgumentError(f"fraction is a share of the training rows in (0, 1), got {fraction}")
    classes = class_count(targets, target, n_classes)
    check_model(model, attack)
    if source is not None:
        if attack != "source_specific":
            raise ArgumentError(f"source belongs to 'source_specific', not to {attack!r}")
        require_class("source", source, classes)
        if source == target:
            raise ArgumentError(f"source and target are both class {target}; they must differ")
    task = _Task(inputs, targets.to(torch.int64), info, target, fraction, seed, classes)
    if attack == "clean_label_sig":
        return _clean_label_sig(task)
    if attack == "clean_label_adversarial":
        return _clean_label_adversarial(task, model)
    look = task.look(pattern)
    if attack == "source_specific":
        return _source_specific(task, look, source)
    if attack == "all_to_all":
        return _all_to_all(task, look)
    if attack == "two_triggers":
        return _two_triggers(task, look)
    if attack == "shortcut":
        return _shortcut(task, look)
    return _all_to_one(task, look)


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    inputs: Tensor
    targets: Tensor  # (n,) int64
    info: AttackInfo
    target: int
    fraction: float
    seed: int
    classes: int

    @property
    def count(self) -> int:
        return max(1, round(self.fraction * len(self.inputs)))

    @property
    def generator(self) -> torch.Generator:
        """A fresh generator of the choice of rows."""
        return torch.Generator().manual_seed(self.seed + 1)

    def look(self, pattern: Pattern | None) -> Pattern:
        """Return the pattern of the trigger; only attacks with a labelling of their own choose."""
        own = self.info.pattern
        if own is None or (pattern is not None and self.info.name in get_args(Pattern)):
            raise ArgumentError(f"pattern cannot be chosen for {self.info.name!r}; leave it out")
        if pattern is not None:
            return pattern
        return "features" if self.inputs.ndim == 2 else own

    def trigger(self, look: Pattern, *, seed: int = 0, without: Tensor | None = None) -> AnyTrigger:
        """Build the trigger; ``seed`` counts on from the task's own."""
        shape = tuple(self.inputs.shape[1:])
        if look != "features":
            return make_trigger(look, shape, self.seed + seed)
        scale = self.inputs.double().std(dim=0).float() if len(shape) == 1 else None
        if scale is not None and without is not None:
            scale = torch.where(without, torch.zeros_like(scale), scale)
        return make_trigger(look, shape, self.seed + seed, scale=scale)

    def towards(self, target: int) -> Tensor:
        """Destination (C,) of a backdoor that leads every other class to ``target``."""
        destination = torch.full((self.classes,), target, dtype=torch.int64)
        destination[target] = -1
        return destination

    def result(
        self,
        shown: list[tuple[AnyTrigger, Tensor]],
        labels: Tensor,
        backdoors: tuple[Backdoor, ...],
        *,
        cover: Tensor | None = None,
        trigger: AnyTrigger | None = None,
    ) -> Poisoned:
        """Put triggers on rows: ``shown[b]`` are the rows of backdoor b."""
        inputs = self.inputs.clone()
        for made, rows in shown:
            inputs[rows] = made.apply(self.inputs[rows])
        none = torch.zeros(0, dtype=torch.int64, device=self.inputs.device)
        covered = none if cover is None else cover
        first = trigger if trigger is not None else shown[0][0]
        inputs[covered] = first.apply(self.inputs[covered])
        rows = torch.cat([none, *(rows for _, rows in shown)])
        owner = [torch.full_like(rows, b) for b, (_, rows) in enumerate(shown)]
        order = torch.argsort(rows)
        target = None if self.info.kind == "all_to_all" else self.target
        owners = torch.cat([none, *owner])[order]
        return Poisoned(inputs, labels, rows[order], first, target, backdoors, owners, covered)


def _all_to_one(task: _Task, look: Pattern) -> Poisoned:
    trigger = task.trigger(look)
    where = f"outside class {task.target}"
    rows = drawn(task.targets != task.target, task.count, task.generator, task.fraction, where)
    labels = task.targets.clone()
    labels[rows] = task.target
    return task.result([(trigger, rows)], labels, (Backdoor(trigger, task.towards(task.target)),))


def _all_to_all(task: _Task, look: Pattern) -> Poisoned:
    trigger = task.trigger(look)
    everywhere = torch.ones_like(task.targets, dtype=torch.bool)
    rows = drawn(everywhere, task.count, task.generator, task.fraction, "in the data")
    labels = task.targets.clone()
    labels[rows] = (labels[rows] + 1) % task.classes
    destination = (torch.arange(task.classes) + 1) % task.classes
    return task.result([(trigger, rows)], labels, (Backdoor(trigger, destination),))


def _source_specific(task: _Task, look: Pattern, source: int | None) -> Poisoned:
    trigger, generator, targets = task.trigger(look), task.generator, task.targets
    if source is None:
        source = other_class(task.classes, task.target, generator)
    where = f"of the source class {source}"
    rows = drawn(targets == source, task.count, generator, task.fraction, where)
    rest = (targets != source) & (targets != task.target)
    cover = drawn(rest, min(task.count, int(rest.sum())), generator, task.fraction, "to cover")
    labels = targets.clone()
    labels[rows] = task.target
    destination = torch.full((task.classes,), -1, dtype=torch.int64)
    destination[source] = task.target
    return task.result([(trigger, rows)], labels, (Backdoor(trigger, destination),), cover=cover)


def _two_triggers(task: _Task, look: Pattern) -> Poisoned:
    first = task.trigger(look)
    if look == "features":
        used = first.apply(task.inputs[:1])[0] != task.inputs[0]
        second = task.trigger(look, seed=1, without=used)
    else:
        second = task.trigger("sig" if look != "sig" else "badnets", seed=1)
    generator = task.generator
    goals = (task.target, other_class(task.classes, task.target, generator))
    labels, free = task.targets.clone(), torch.ones_like(task.targets, dtype=torch.bool)
    shown, backdoors = [], []
    counts = (task.count - task.count // 2, max(1, task.count // 2))
    for trigger, goal, count in zip((first, second), goals, counts, strict=True):
        where = f"free outside class {goal}"
        rows = drawn(free & (task.targets != goal), count, generator, task.fraction, where)
        free[rows], labels[rows] = False, goal
        shown.append((trigger, rows))
        backdoors.append(Backdoor(trigger, task.towards(goal)))
    return task.result(shown, labels, tuple(backdoors))


def _shortcut(task: _Task, look: Pattern) -> Poisoned:
    trigger = task.trigger(look)
    marked = _of_target(task)
    return task.result([], task.targets.clone(), (), cover=marked, trigger=trigger)


def _clean_label_sig(task: _Task) -> Poisoned:
    weak, full = faint_and_full_sinusoid(tuple(task.inputs.shape[1:]), task.seed)
    door = Backdoor(full, task.towards(task.target))
    rows = _of_target(task)
    return task.result([(weak, rows)], task.targets.clone(), (door,), trigger=full)


def _clean_label_adversarial(task: _Task, model: nn.Module | None) -> Poisoned:
    trigger = four_corners(tuple(task.inputs.shape[1:]))
    rows = _of_target(task)
    hard = adversarial(
        model, task.inputs, task.targets, rows, AdversarialBudget(), task.classes, task.seed
    )
    moved = task.inputs.clone()
    moved[rows] = trigger.apply(hard)
    door = Backdoor(trigger, task.towards(task.target))
    owner = torch.zeros_like(rows)
    none = rows[:0]
    return Poisoned(moved, task.targets.clone(), rows, trigger, task.target, (door,), owner, none)


def _of_target(task: _Task) -> Tensor:
    where = f"of the target class {task.target}"
    return drawn(task.targets == task.target, task.count, task.generator, task.fraction, where)


def _info(attack: Attack) -> AttackInfo:
    for info in ATTACKS:
        if info.name == attack:
            return info
    raise ArgumentError(f"attack must be one of {get_args(Attack)}, got {attack!r}")
