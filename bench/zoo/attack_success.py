"""How well every simulated attack works, and what hiding from the detector costs the attacker.

Usage: python bench/zoo/attack_success.py table [--data digits] [--fractions 0.02,0.05] [--attacks A,B]
       python bench/zoo/attack_success.py adaptive [--weights 0,0.03,0.1,0.3,1] [--attacks badnets,blend]
Prints one line a model; every random choice follows from --seed.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import nn

import hessay
from hessay.attacks import (
    Poisoned,
    attack_success_rate,
    list_attacks,
    poison,
    success_rate,
    train_adaptive,
)
from hessay.errors import ArgumentError
from hessay.training import Dataset, accuracy, load_dataset, train_classifier

ARCH = {"digits": "mlp:64-64-10", "fashion-mnist": "mlp:784-256-128-10"}
EPOCHS = {"digits": 60, "fashion-mnist": 8}
ROWS, N_PROBES = 12000, 512


def poisoned(data: Dataset, attack: str, fraction: float, seed: int) -> Poisoned:
    """Poison the first rows of a data set; the target is the last digit of the seed."""
    return poison(
        data.train_inputs[:ROWS],
        data.train_targets[:ROWS],
        attack=attack,  # type: ignore[arg-type]
        target=seed % 10,
        fraction=fraction,
        seed=seed,
    )


def described(model: nn.Module, data: Dataset, bad: Poisoned, seed: int) -> str:
    """Accuracy, success of every backdoor, and what the trigger does where it should do nothing."""
    inputs, targets = data.test_inputs, data.test_targets
    rates = [f"{success_rate(model, inputs, targets, door):.3f}" for door in bad.backdoors]
    line = f"accuracy {accuracy(model, inputs, targets):.3f}, success {' '.join(rates) or '-'}"
    if not bad.backdoors:
        rate = attack_success_rate(model, inputs, targets, bad.trigger, seed % 10)
        return f"{line}, others sent to the marked class {rate:.3f}"
    if len(bad.cover):
        others = bad.backdoors[0].destination[targets] < 0
        rate = attack_success_rate(model, inputs[others], targets[others], bad.trigger, seed % 10)
        return f"{line}, other classes sent to the target {rate:.3f}"
    return line


def table(data: Dataset, attacks: list[str], fractions: list[float], seed: int) -> None:
    """Train one network for every attack and fraction."""
    for attack in attacks:
        for fraction in fractions:
            try:
                bad = poisoned(data, attack, fraction, seed)
            except ArgumentError as error:
                print(f"{attack:24s} {fraction:.2f}: {error}", flush=True)
                continue
            model = train_classifier(
                ARCH[data.name], bad.inputs, bad.targets, epochs=EPOCHS[data.name], seed=seed
            )
            print(f"{attack:24s} {fraction:.2f}: {described(model, data, bad, seed)}", flush=True)


def adaptive(data: Dataset, attacks: list[str], weights: list[float], seed: int) -> None:
    """Train attackers who penalise the statistic, and scan them."""
    fraction = 0.1 if data.name == "digits" else 0.05
    for attack in attacks:
        bad = poisoned(data, attack, fraction, seed)
        for weight in weights:
            start = time.process_time()
            model = train_adaptive(
                ARCH[data.name], bad, weight=weight, epochs=EPOCHS[data.name], seed=seed
            )
            seconds = time.process_time() - start
            report = hessay.scan(model, (data.test_inputs[:N_PROBES], data.test_targets[:N_PROBES]))
            shown = ", ".join(f"{item.name} {item.value:.3f}" for item in report.evidence)
            print(
                f"{attack:8s} weight {weight:<5g}: {described(model, data, bad, seed)}, "
                f"{report.verdict.name} {report.flagged_class} (true {seed % 10}), {shown}, "
                f"{seconds:.0f} s of CPU",
                flush=True,
            )


def main() -> None:
    """Print one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("table", "adaptive"))
    parser.add_argument("--data", choices=tuple(ARCH), default="fashion-mnist")
    parser.add_argument("--attacks", default="")
    parser.add_argument("--fractions", default="0.02,0.05")
    parser.add_argument("--weights", default="0,0.03,0.1,0.3,1")
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(options.data, seed=options.seed)
    asked = options.attacks.split(",") if options.attacks else []
    if options.what == "table":
        names = asked or [name for name in list_attacks() if name != "features"]
        table(data, names, [float(v) for v in options.fractions.split(",")], options.seed)
    else:
        names = asked or ["badnets", "blend"]
        adaptive(data, names, [float(v) for v in options.weights.split(",")], options.seed)


if __name__ == "__main__":
    main()
