"""Ranking a training set: poison first, errors controlled, nothing depends on how data arrive."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import hessay
from detection import ARCH, SEED, TARGET, Around, Nets
from hessay import attacks, training
from hessay.errors import ArgumentError
from hessay.probe import Probe
from ranking_case import Case, case_of


@pytest.fixture(scope="module")
def case(nets: Nets) -> Case:
    return case_of(nets)


# ---- what it finds ----


def test_poison_comes_first_and_the_selection_is_mostly_poison(case: Case) -> None:
    budget = round(1.5 * case.bad.sum())
    assert case.bad[case.ranking.order()[:budget]].sum() >= 0.99 * case.bad.sum()
    selected = case.ranking.selected(0.05)
    assert case.bad[selected].sum() >= 0.9 * case.bad.sum()
    # 5 % is the expectation; of 120 selected its binomial error is 2 %.
    assert (~case.bad[selected]).mean() <= 0.05 + 3 * 0.02
    assert np.all(case.ranking.labels[selected] == TARGET)


def test_most_of_the_target_class_may_be_poison(case: Case) -> None:
    rows = np.flatnonzero(case.bad | (case.targets.numpy() != TARGET))
    found = case.rank((case.inputs[rows], case.targets[rows]))
    again = case.ranking.p_values[rows]
    np.testing.assert_allclose(found.p_values, again, rtol=1e-9)  # the class itself is not asked
    assert len(found.selected(0.05)) >= 0.9 * case.bad.sum()


def test_a_clean_model_is_ranked_and_nothing_is_selected(case: Case) -> None:
    data = training.load_dataset("digits", seed=SEED)
    found = hessay.rank_samples(
        case.nets.clean, (data.train_inputs, data.train_targets), probe=case.probe
    )
    assert found.n == len(data.train_inputs)
    assert len(np.unique(found.scores)) > 0.9 * found.n
    assert len(found.selected(0.05)) == 0
    line = found.classes[0].chance
    assert found.p_values.min() >= line > 0.05


def test_two_targets_are_both_found() -> None:
    data = training.load_dataset("digits", seed=SEED)
    x, y = data.train_inputs, data.train_targets
    half = len(x) // 2
    parts = [
        attacks.poison(x[s], y[s], attack=a, target=t, fraction=0.1, seed=SEED)  # type: ignore[arg-type]
        for s, a, t in ((slice(None, half), "blend", 3), (slice(half, None), "badnets", 7))
    ]
    inputs, targets = (torch.cat([getattr(p, n) for p in parts]) for n in ("inputs", "targets"))
    rows = [parts[0].rows.numpy(), parts[1].rows.numpy() + half]
    model = training.train_classifier(ARCH, inputs, targets, epochs=40)
    probe = Probe(data.test_inputs[:512], data.test_targets[:512])
    found = hessay.rank_samples(model, (inputs, targets), probe=probe, classes=[7, 3])
    top = found.order()[: round(1.5 * sum(map(len, rows)))]
    for mine, target in zip(rows, (3, 7), strict=True):
        assert np.isin(mine, top).mean() > 0.9
        assert np.all(found.suspect[mine] == target)
    assert "no error control" in " ".join(found.reasons)


def test_taking_its_share_of_the_perturbation_away_breaks_poison_only(case: Case) -> None:
    drop = case.ranking.margin_drop
    clean = case.ranking.examined & ~case.bad
    assert np.median(drop[case.bad]) > 1.0 > abs(np.median(drop[clean]))
    assert np.isnan(drop[~case.ranking.examined]).all()
    # Second, dumber: one sample, its margin before and after.
    row = int(np.flatnonzero(case.bad)[0])
    step = case.ranking.projection[row] * case.suspects[0].perturbation[0].reshape(8, 8)
    x = case.inputs[row].double()
    margins = []
    for point in (x, x - torch.from_numpy(step)):
        z = case.nets.poisoned(point[None].float())[0].detach()
        margins.append(float(z[TARGET] - max(z[c] for c in range(10) if c != TARGET)))
    assert abs(drop[row] - (margins[0] - margins[1])) < 1e-4  # float32 logits of order 10


# ---- what it does not depend on ----


def loader(case: Case) -> object:
    return DataLoader(TensorDataset(case.inputs, case.targets), batch_size=37)


def one_shot(case: Case) -> object:
    return ((x, y) for x, y in DataLoader(TensorDataset(case.inputs, case.targets), batch_size=200))


def data_set(case: Case) -> object:
    return TensorDataset(case.inputs, case.targets)


def arrays(case: Case) -> object:
    return case.inputs.numpy(), case.targets.tolist()


def a_probe(case: Case) -> object:
    return Probe(case.inputs, case.targets)


@pytest.mark.parametrize("form", [loader, one_shot, data_set, arrays, a_probe])
def test_every_form_of_the_data_gives_the_same_ranking(
    form: Callable[[Case], object], case: Case
) -> None:
    found = case.rank(form(case))
    # Products of other batch sizes round differently.
    np.testing.assert_allclose(found.scores, case.ranking.scores, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.margin_drop, case.ranking.margin_drop, atol=1e-3)
    np.testing.assert_array_equal(found.labels, case.ranking.labels)
    assert found.digest == case.ranking.digest


def test_an_npz_file_is_data(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "train.npz"
    np.savez(path, inputs=case.inputs.numpy(), targets=case.targets.numpy())
    assert case.rank(path).digest == case.ranking.digest


def test_the_order_of_the_rows_is_theirs_alone(case: Case) -> None:
    order = np.random.default_rng(SEED).permutation(len(case.inputs))
    found = case.rank((case.inputs[order], case.targets[order]))
    np.testing.assert_allclose(found.scores, case.ranking.scores[order], rtol=1e-7, atol=1e-9)
    assert found.digest != case.ranking.digest


def test_without_labels_the_predictions_stand_for_them_and_it_is_said(case: Case) -> None:
    found = case.rank(case.inputs)
    predicted = case.nets.poisoned(case.inputs).argmax(dim=1).numpy()
    np.testing.assert_array_equal(found.labels, predicted)
    assert found.labels_from == "predictions"
    assert "no labels" in found.reasons[0]
    assert case.ranking.labels_from == "data"
    assert case.bad[found.selected()].mean() > 0.85


def test_tabular_colour_and_double_inputs_rank_alike(case: Case) -> None:
    flat = Around(case.nets.poisoned, before=lambda x: x.reshape(-1, 8, 8).float())
    data = (case.inputs.reshape(-1, 4, 4, 4).double(), case.targets)
    probe = (case.nets.inputs.reshape(-1, 4, 4, 4).double(), case.nets.targets)
    found = hessay.rank_samples(flat, data, probe=probe, suspects=case.suspects)
    np.testing.assert_allclose(found.scores, case.ranking.scores, rtol=1e-9)


def test_the_model_is_left_as_it_was(case: Case) -> None:
    model = case.nets.poisoned
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    case.rank((case.inputs[:50], case.targets[:50]))
    assert model.training
    model.eval()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


# ---- the result ----


def test_scores_are_positive_exactly_where_the_label_is_suspicious(case: Case) -> None:
    r = case.ranking
    np.testing.assert_array_equal(r.scores > 0, r.labels == TARGET)
    mine = np.flatnonzero(r.labels == TARGET)
    by_score = mine[np.argsort(-r.scores[mine])]
    assert np.all(np.diff(r.p_values[by_score]) >= 0)
    assert np.all(r.p_values[r.labels != TARGET] == 1.0)


def test_selection_grows_with_the_rate_and_is_a_head_of_the_order(case: Case) -> None:
    smaller = case.ranking.selected(0.01)
    larger = case.ranking.selected(0.2)
    assert set(smaller) < set(larger)
    np.testing.assert_array_equal(larger, case.ranking.order()[: len(larger)])
    for wrong in (0.0, 1.0, float("nan")):
        with pytest.raises(ArgumentError, match="fdr"):
            case.ranking.selected(wrong)


def test_json_csv_and_explanations_say_the_same(case: Case) -> None:
    r = case.ranking
    document = json.loads(r.to_json(0.1))
    assert document["selected"] == r.selected(0.1).tolist()
    assert document["data_digest"] == r.digest
    rows = list(csv.DictReader(io.StringIO(r.to_csv(0.1))))
    assert [int(row["row"]) for row in rows] == r.order().tolist()
    assert {int(q["row"]) for q in rows if q["selected"] == "1"} == set(document["selected"])
    for rank in (0, 5, r.n - 1):
        e = r.explain(int(r.order()[rank]))
        assert e.rank == rank
        assert float(rows[rank]["score"]) == e.score == document["samples"]["score"][e.row]
        assert document["samples"]["margin_drop"][e.row] == e.margin_drop
        assert (rows[rank]["margin_drop"] == "") == (e.margin_drop is None)
    with pytest.raises(ArgumentError, match="row"):
        r.explain(r.n)


def test_a_report_decides_the_classes_and_must_be_of_this_model(case: Case) -> None:
    report = hessay.scan(case.nets.poisoned, case.probe)
    found = case.rank((case.inputs, case.targets), report=report, suspects=None)
    assert found.classes[0].index == report.flagged_class == TARGET
    assert found.classes[0].p_value == report.p_value
    with pytest.raises(ArgumentError, match="another model"):
        hessay.rank_samples(case.nets.clean, case.inputs, probe=case.probe, report=report)


def test_a_class_nobody_is_labelled_with_is_no_sign_of_clean_data(case: Case) -> None:
    rows = np.flatnonzero(case.targets.numpy() != TARGET)
    found = case.rank((case.inputs[rows], case.targets[rows]))
    assert len(found.selected()) == 0
    assert not found.conclusive
    assert case.ranking.conclusive
