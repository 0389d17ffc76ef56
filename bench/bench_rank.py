"""Which training samples are poison: recall, false discoveries and time of hessay.rank_samples.

    python bench/bench_rank.py [--arch mlp|cnn] [--repeats 1] [--seed 1000] [--json FILE]

Trains small classifiers on Fashion-MNIST, poisoned and clean, ranks the training set of each with
512 held-out pictures as the probe, and prints recall at a budget of 1.5 theta N, false discovery
proportion and power of ``selected(fdr=0.05)``, and CPU seconds (ranking alone, and with the search
for the way in) of this process; set OMP_NUM_THREADS=1. Beside it two classical scores of the last
hidden layer, which are told the target class: spectral signatures (Tran et al. 2018, NeurIPS,
8000), centred by class, and activation clustering (Chen et al. 2018, arXiv:1811.03728).
With --json, rows that the file holds are not computed again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import hessay
from hessay.attacks import attack_success_rate, poison
from hessay.detector.suspects import find_suspects
from hessay.training import Dataset, load_dataset, train_classifier

ARCHS = {"mlp": ("mlp:784-256-128-10", 12000, None), "cnn": ("cnn:1x28x28-10", 12000, 6)}
ATTACKS, THETAS, CLEAN = ("badnets", "blend", "sig"), (0.003, 0.01, 0.05), 4
FDR, EFFECTIVE, TARGETS = 0.05, 0.5, {"mlp": 0.99, "cnn": 0.97}


@dataclass
class Row:
    """One model."""

    arch: str
    attack: str
    theta: float
    seed: int
    asr: float  # share of other pictures the trigger misleads
    found: bool  # the target is the first suspect
    recall: float  # at a budget of 1.5 theta N
    selected: int
    fdp: float  # share of clean samples among the selected
    power: float  # share of the poison that is selected
    spectral: float  # recall of spectral signatures, told the target
    clustering: float  # recall of activation clustering, told the target
    rank_cpu_s: float  # for 10000 samples
    suspects_cpu_s: float


def run(data: Dataset, name: str, attack: str, theta: float, seed: int) -> Row:
    """Train, poison and rank one."""
    arch, n, epochs = ARCHS[name]
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(data.train_inputs), generator=generator)[:n]
    x, y = data.train_inputs[rows], data.train_targets[rows]
    target = int(torch.randint(10, (1,), generator=generator))
    bad, trigger = np.zeros(n, dtype=bool), None
    if attack != "clean":
        p = poison(x, y, attack=attack, target=target, fraction=theta, seed=seed)  # type: ignore[arg-type]
        x, y, trigger = p.inputs, p.targets, p.trigger
        bad[p.rows] = True
    model = train_classifier(arch, x, y, epochs=epochs, seed=seed)
    asr = 0.0
    if trigger is not None:
        held_out = data.test_inputs[5000:7000], data.test_targets[5000:7000]
        asr = attack_success_rate(model, *held_out, trigger, target)
    probe = hessay.Probe(data.test_inputs[:512], data.test_targets[:512])
    start = time.process_time()
    suspects = find_suspects(model, probe)
    middle = time.process_time()
    ranking = hessay.rank_samples(model, (x, y), probe=probe, suspects=suspects)
    end = time.process_time()
    chosen, budget = ranking.selected(FDR), math.ceil(1.5 * bad.sum())

    def recall(scores: np.ndarray) -> float:
        return float(bad[np.argsort(-scores, kind="stable")[:budget]].sum() / max(1, bad.sum()))

    spectral, clustering = classical(model, x, y.numpy() == target) if bad.any() else (None, None)
    return Row(
        name,
        attack,
        theta,
        seed,
        asr,
        suspects[0].index == target,
        recall(ranking.scores),
        len(chosen),
        float((~bad[chosen]).sum() / max(1, len(chosen))),
        float(bad[chosen].sum() / max(1, bad.sum())),
        0.0 if spectral is None else recall(spectral),
        0.0 if clustering is None else recall(clustering),
        (end - middle) * 10000 / n,
        middle - start,
    )


def classical(model: nn.Module, x: Tensor, mine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of both rivals; samples outside the target class come last."""
    from sklearn.cluster import KMeans

    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    kept: list[Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, args: kept.append(args[0].detach()))
    with torch.no_grad():
        for part in torch.split(x[mine], 1000):
            model(part)
    handle.remove()
    features = torch.cat(kept).double().numpy()
    centred = features - features.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    spectral = np.full(len(x), -np.inf)
    spectral[mine] = (centred @ directions[0]) ** 2
    reduced = centred @ directions[:10].T
    fitted = KMeans(2, n_init=4, random_state=0).fit(reduced)
    small = int(np.bincount(fitted.labels_, minlength=2).argmin())
    distance = fitted.transform(reduced)
    clustering = np.full(len(x), -np.inf)
    clustering[mine] = distance[:, 1 - small] - distance[:, small]
    return spectral, clustering


def report(rows: list[Row]) -> None:
    """Print every row and, for each architecture, what the targets ask for."""
    print(f"{'model':28}{'ASR':>6}{'recall':>8}{'sel.':>6}{'FDP':>7}{'power':>7}", end="")
    print(f"{'spectral':>10}{'cluster':>9}{'rank s':>8}{'way in s':>10}")
    for r in rows:
        name = f"{r.arch} {r.attack} {r.theta:g} #{r.seed}"
        print(
            f"{name:28}{r.asr:6.2f}{r.recall:8.3f}{r.selected:6}{r.fdp:7.3f}{r.power:7.3f}", end=""
        )
        print(f"{r.spectral:10.2f}{r.clustering:9.2f}{r.rank_cpu_s:8.2f}{r.suspects_cpu_s:10.2f}")
    for arch, wanted in TARGETS.items():
        mine = [r for r in rows if r.arch == arch]
        works = [r for r in mine if r.asr >= EFFECTIVE]
        clean = [r for r in mine if r.attack == "clean"]
        if not works:
            continue
        recall, fdp = [r.recall for r in works], [r.fdp for r in works]
        error = np.std(fdp, ddof=1) / math.sqrt(len(fdp)) if len(fdp) > 1 else math.nan
        spectral, clustering = (np.mean([getattr(r, k) for r in works]) for k in RIVALS)
        print(
            f"{arch}: {len(works)} models with ASR >= {EFFECTIVE}: target found in "
            f"{sum(r.found for r in works)}, recall mean {np.mean(recall):.3f} (target {wanted}"
            f"{'' if np.mean(recall) >= wanted else ', MISSED'}) min {min(recall):.3f}; FDR "
            f"{np.mean(fdp):.3f} +- {error:.3f} (asked {FDR}), power "
            f"{np.mean([r.power for r in works]):.3f}; spectral signatures {spectral:.2f}, "
            f"activation clustering {clustering:.2f}, both told the target; rank 10k samples "
            f"{np.median([r.rank_cpu_s for r in mine]):.2f} s, way in "
            f"{np.median([r.suspects_cpu_s for r in mine]):.2f} s (target 3 s together)"
        )
        invented = sum(r.selected > 0 for r in clean)
        print(f"{arch}: {len(clean)} clean models, samples selected on {invented} of them")


RIVALS = ("spectral", "clustering")


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", choices=sorted(ARCHS))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist")
    known: list[Row] = []
    if options.json and options.json.exists():
        known = [Row(**row) for row in json.loads(options.json.read_text())]
    rows: list[Row] = []
    for arch in [options.arch] if options.arch else ARCHS:
        jobs = [(a, t) for t in THETAS for a in ATTACKS] + [("clean", 0.0)] * CLEAN
        for repeat in range(options.repeats):
            for number, (attack, theta) in enumerate(jobs):
                seed = options.seed + 100 * repeat + number
                old = [r for r in known if (r.arch, r.seed) == (arch, seed)]
                rows.append(old[0] if old else run(data, arch, attack, theta, seed))
                if options.json:
                    kept = [
                        r for r in known if (r.arch, r.seed) not in {(q.arch, q.seed) for q in rows}
                    ]
                    options.json.write_text(json.dumps([asdict(r) for r in rows + kept], indent=1))
    report(rows)


if __name__ == "__main__":
    main()
