"""Source-specific backdoors: reaches of pairs of classes, beside references trained alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import hessay
from detection import ARCH, SEED
from hessay.attacks import poison
from hessay.detector.pair_law import PAIR_NULLS, PAIRS, pair_null, pair_threshold
from hessay.detector.pairs import (
    fit_pairs,
    left_out_pairs,
    pair_margins,
    pair_reach,
    pair_residual,
)
from hessay.detector.statistics import principal_directions
from hessay.errors import ArgumentError, ShapeError
from hessay.hessian.jacobian import class_jacobians
from hessay.hessian.model.freeze import frozen
from hessay.training import load_dataset, train_classifier
from hessay.verdict import Verdict

C = 6
POPULATION = Path(__file__).parents[1] / "bench" / "zoo" / "source_specific.json"
SOURCE, GOAL = 7, 2


def tables(k: int, seed: int = SEED) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    table: NDArray[np.float64] = rng.standard_normal((C, C)) + 0.2 * rng.standard_normal((k, C, C))
    return table


def test_what_is_left_is_the_residual_of_least_squares_on_rows_and_columns() -> None:
    table = np.random.default_rng(SEED).standard_normal((C, C))
    pairs = [(s, c) for s in range(C) for c in range(C) if s != c]
    design = np.zeros((len(pairs), 2 * C))
    for i, (s, c) in enumerate(pairs):
        design[i, s] = design[i, C + c] = 1.0
    values = np.array([table[pair] for pair in pairs])
    fit = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    left = pair_residual(table)
    assert np.abs(np.diag(left)).max() == 0.0
    np.testing.assert_allclose([left[pair] for pair in pairs], values - fit, atol=1e-12)


def test_what_a_class_does_to_all_others_leaves_no_trace() -> None:
    rng = np.random.default_rng(SEED)
    table, rows, columns = rng.standard_normal((C, C)), rng.normal(size=C), rng.normal(size=C)
    moved = table + 5.0 * rows[:, None] - 7.0 * columns + 3.0
    np.testing.assert_allclose(pair_residual(moved), pair_residual(table), atol=1e-12)


def test_reaches_are_those_of_one_gradient_a_probe_and_pair() -> None:
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, C)).double()
    inputs = 2.0 * torch.randn(120, 20, generator=generator, dtype=torch.float64)
    directions = principal_directions(inputs.numpy(), share=0.3)
    with frozen(model):
        found = pair_reach(class_jacobians(model, inputs), directions)
        logits = model(inputs)
        rows = [torch.autograd.functional.jacobian(model, x) for x in inputs]
    assert found is not None
    predicted = logits.argmax(dim=1).tolist()
    projector = np.eye(20) - directions.basis @ directions.basis.T
    z = logits.numpy()
    floor = 0.15 * float(np.sqrt(np.mean((z - z.mean(axis=1, keepdims=True)) ** 2)))
    for s in set(predicted):
        own = [i for i, label in enumerate(predicted) if label == s]
        for c in range(C):
            if c == s:
                continue
            slope = np.mean([(rows[i][c] - rows[i][s]).numpy() for i in own], axis=0)
            margin = max(float(np.mean([z[i, s] - z[i, c] for i in own])), floor)
            expected = np.log(np.linalg.norm(projector @ slope) / margin)
            assert found[s, c] == pytest.approx(expected, abs=1e-9)


def test_reaches_do_not_change_with_the_scale_of_the_logits() -> None:
    torch.manual_seed(SEED)
    inputs = torch.randn(200, 12)
    small = nn.Linear(12, C)
    large = nn.Linear(12, C)
    with torch.no_grad():
        large.weight.copy_(1e3 * small.weight)
        large.bias.copy_(1e3 * small.bias)
    directions = principal_directions(inputs.double().numpy(), share=0.3)
    found = []
    for model in (small, large):
        with frozen(model):
            found.append(pair_reach(class_jacobians(model, inputs), directions))
    assert found[0] is not None
    assert found[1] is not None
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)  # single precision


def test_deviations_are_those_of_plain_loops() -> None:
    references, own = tables(9), tables(1, seed=1)[0]
    profile = fit_pairs(references)
    left = np.array([pair_residual(row) for row in references])
    pairs = [(s, c) for s in range(C) for c in range(C) if s != c]
    gaps = [abs(v - np.median(left[:, s, c])) for s, c in pairs for v in left[:, s, c]]
    reach = 3 * 1.4826 * float(np.median(gaps))
    centre, variance = {}, {}
    for s, c in pairs:
        middle = float(np.median(left[:, s, c]))
        held = [min(max(float(v), middle - reach), middle + reach) for v in left[:, s, c]]
        centre[s, c] = sum(held) / 9
        variance[s, c] = sum((v - centre[s, c]) ** 2 for v in held) / 8
    pooled = sum(variance.values()) / len(pairs)
    z = profile.deviations(own)
    for s, c in pairs:
        spread = ((variance[s, c] + pooled) / 2 * (1 + 1 / 9)) ** 0.5
        expected = (pair_residual(own)[s, c] - centre[s, c]) / spread
        assert z[s, c] == pytest.approx(expected, rel=1e-9)
    assert (np.diag(z) == -np.inf).all()


def test_a_poisoned_reference_moves_the_centre_by_no_more_than_its_share() -> None:
    references = tables(9)
    bad = references.copy()
    bad[0, 1, 4] += 50.0
    clean = fit_pairs(references)
    spoilt = fit_pairs(bad)
    spread = float(np.median(clean.spread[~np.eye(C, dtype=bool)]))
    # One of nine, held within three robust standard deviations, which chance makes 1.5 of at most.
    assert spoilt.centre[1, 4] - clean.centre[1, 4] <= 2 * 3 * 1.5 * spread / 9
    scanned = tables(1, seed=2)[0]
    scanned[1, 4] += 5.0
    assert np.unravel_index(spoilt.deviations(scanned).argmax(), (C, C)) == (1, 4)


def test_networks_left_out_in_turn_are_exchangeable() -> None:
    table, order = tables(7), np.random.default_rng(SEED).permutation(7)
    np.testing.assert_allclose(left_out_pairs(table)[order], left_out_pairs(table[order]))


def test_tables_of_the_wrong_shape_and_too_few_references_are_refused() -> None:
    with pytest.raises(ShapeError, match="C >= 4"):
        pair_residual(np.zeros((3, 3)))
    with pytest.raises(ArgumentError, match="needs 4 references"):
        fit_pairs(tables(3))
    with pytest.raises(ShapeError, match="the profile has pairs"):
        fit_pairs(tables(5)).deviations(np.zeros((C + 1, C + 1)))


def test_margins_of_a_pair_have_a_floor() -> None:
    logits = np.array([[4.0, 3.999, 0.0, -4.0]] * 5)
    size = float(np.sqrt(np.mean((logits[0] - logits[0].mean()) ** 2)))
    margins = pair_margins(logits)
    assert margins[0, 1] == pytest.approx(0.15 * size)
    assert margins[0, 3] == pytest.approx(8.0)


def test_more_references_and_fewer_pairs_have_lower_thresholds() -> None:
    assert pair_null(18) is PAIR_NULLS[9]
    assert pair_null(40) is PAIR_NULLS[19]
    assert pair_threshold(19, 10, 0.01) < pair_threshold(9, 10, 0.01)
    assert pair_threshold(9, 10, 0.01) < pair_threshold(9, 30, 0.01)


def test_the_frozen_laws_are_those_of_the_committed_population() -> None:
    laws = json.loads(POPULATION.read_text())["laws"]
    for size, null in PAIR_NULLS.items():
        kept = laws[str(size)]
        assert kept == {"start": null.start, "scale": null.scale, "n_models": null.n_models}


@dataclass(frozen=True)
class Family:
    references: list[nn.Module]
    clean: nn.Module
    poisoned: nn.Module
    probe: hessay.Probe


@pytest.fixture(scope="module")
def family() -> Family:
    """Digit networks trained alike, one of them on a source-specific backdoor."""
    data = load_dataset("digits", seed=SEED)
    x, y = data.train_inputs, data.train_targets
    bad = poison(
        x, y, attack="source_specific", target=GOAL, source=SOURCE, fraction=0.05, pattern="blend"
    )

    def net(seed: int, inputs: Tensor, targets: Tensor) -> nn.Module:
        return train_classifier(ARCH, inputs, targets, epochs=30, seed=seed)

    return Family(
        [net(seed, x, y) for seed in range(10)],
        net(20, x, y),
        net(21, bad.inputs, bad.targets),
        hessay.Probe(data.test_inputs[:512], data.test_targets[:512]),
    )


def test_a_source_specific_backdoor_is_flagged_with_its_pair_beside_networks_trained_alike(
    family: Family,
) -> None:
    report = hessay.scan(family.poisoned, family.probe, references=family.references)
    decided = {item.name: item for item in report.evidence if item.decides}
    assert set(decided) == {"class_profile", "class_map_excess", "warp_reach", "pair_reach"}
    assert report.verdict is Verdict.FLAGGED
    assert report.flagged_class == GOAL
    assert report.settings["source_class"] == SOURCE
    assert any(
        f"inputs of class {SOURCE} are turned into class {GOAL}" in r for r in report.reasons
    )
    assert any(f"probes of class {SOURCE} into class {GOAL}" in r for r in report.reasons)
    direction = np.asarray(report.trigger_direction)
    assert np.linalg.norm(direction) == pytest.approx(1.0, abs=1e-4)
    assert hessay.Report.from_json(report.to_json()) == report


def test_its_pair_ranks_first_where_ranks_reach_the_level(family: Family) -> None:
    report = hessay.scan(family.poisoned, family.probe, references=family.references, alpha=0.1)
    (decided,) = (item for item in report.evidence if item.decides)
    assert decided.name == "reference_rank"
    assert (report.flagged_class, report.settings["source_class"]) == (GOAL, SOURCE)
    assert f"the way from class {SOURCE} to class {GOAL}" in report.reasons[0]


def test_a_clean_network_beside_them_is_clean_and_the_levels_add_up(family: Family) -> None:
    report = hessay.scan(family.clean, family.probe, references=family.references)
    assert report.verdict is Verdict.CLEAN
    assert "source_class" not in report.settings
    assert "one source class with cover samples: tested" in " ".join(report.not_excluded)
    shares = [item.note for item in report.evidence if item.decides]
    assert [note[: note.index(" of")] for note in shares] == [
        "tested at 54%",  # 0.75 * 0.9 * 0.8: the reach
        "tested at 13%",  # 0.75 * 0.9 * 0.2: the class map
        "tested at 8%",  # 0.75 * 0.1: warps
        f"tested at {PAIRS:.0%}",
    ]


def test_pairs_are_not_compared_with_references_of_another_kind_and_the_report_says_so(
    family: Family,
) -> None:
    data = load_dataset("digits", seed=SEED)
    x, y = data.train_inputs, data.train_targets
    other = [train_classifier("mlp:64-32-10", x, y, epochs=20, seed=seed) for seed in range(9)]
    for references, why in (
        (other, "not models of its own architecture"),
        (family.references[:8], "8 references are too few, 9 are needed"),
        ([*family.references[:8], other[0]], "not models of its own architecture"),
    ):
        report = hessay.scan(family.poisoned, family.probe, references=references)
        assert "pair_reach" not in {item.name for item in report.evidence}
        assert any(
            "one source class were not tested for: " in r and why in r for r in report.reasons
        )


def test_pairs_are_not_compared_with_networks_trained_otherwise(family: Family) -> None:
    data = load_dataset("digits", seed=SEED)
    hasty = train_classifier(ARCH, data.train_inputs, data.train_targets, epochs=12, seed=5)
    report = hessay.scan(hasty, family.probe, references=family.references)
    assert "pair_reach" not in {item.name for item in report.evidence}
    assert any("one source class were not tested for: its " in r for r in report.reasons)
