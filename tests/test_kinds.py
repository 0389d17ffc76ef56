"""Networks that read in turn and networks on tables: how they are known, and the laws they fall under."""

from __future__ import annotations

import json
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from sklearn.datasets import make_classification
from torch import nn

import hessay
from detection import Around, Nets
from hessay import attacks, training
from hessay.detector.alarms import comparable_statistic, reach_null
from hessay.detector.calibration import CleanNull
from hessay.detector.constants import (
    CLEAN_NULL,
    RECURRENT_MAP_NULL,
    RECURRENT_NULL,
    RECURRENT_WARP_NULL,
    TABLE_NULL,
)
from hessay.detector.kinds import told_kind
from hessay.detector.measure import Measured
from hessay.detector.plan import Plan
from hessay.detector.suspects import find_suspects
from hessay.detector.validity import crowded
from hessay.hessian.model.inspect import recurrent
from hessay.probe import Probe
from hessay.verdict import Verdict

ZOO = Path(__file__).parents[1] / "bench" / "zoo"
SEED, TARGET, ROWS = 20241130, 4, 4000


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(28, 40, batch_first=True), nn.Linear(40, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.layer(x)[0].mean(dim=1))
        return logits


def trained(inputs: torch.Tensor, targets: torch.Tensor) -> nn.Module:
    torch.manual_seed(SEED)
    net, generator = Reader(), torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(6):
        for rows in torch.randperm(len(inputs), generator=generator).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    return net.eval()


@pytest.fixture(scope="module")
def readers() -> tuple[nn.Module, nn.Module, Probe]:
    data = training.load_dataset("fashion-mnist", seed=SEED)
    inputs, targets = data.train_inputs[:ROWS], data.train_targets[:ROWS]
    bad = attacks.poison(inputs, targets, attack="badnets", target=TARGET, fraction=0.05, seed=SEED)
    probe = Probe(data.test_inputs[:512], data.test_targets[:512])
    return trained(inputs, targets), trained(bad.inputs, bad.targets), probe


def measured(model: nn.Module, probe: Probe) -> Measured:
    return Plan.of(probe, alpha=0.01, seed=0, progress=None).measured(model, "")


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Identity(), nn.LSTMCell(3, 4)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state: torch.Tensor = self.parts[1](x)[0]
        return state


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 4)), True),
        (Cell(), True),
        (nn.RNN(3, 4), True),
        (nn.Sequential(nn.Linear(3, 3), nn.MultiheadAttention(4, 2)), False),
    ],
    ids=["lstm", "cell", "rnn", "attention"],
)
def test_recurrent_layers_are_found_at_any_depth(model: nn.Module, expected: bool) -> None:
    assert recurrent(model) is expected


def test_they_are_found_in_scripts() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert recurrent(torch.jit.script(Reader()))
        assert not recurrent(torch.jit.script(nn.Sequential(nn.Linear(3, 4), nn.ReLU())))


def test_a_poisoned_reader_is_flagged_by_the_law_of_its_kind(
    readers: tuple[nn.Module, nn.Module, Probe],
) -> None:
    clean, poisoned, probe = readers
    reports = [hessay.scan(model, probe) for model in (clean, poisoned)]
    assert [report.verdict for report in reports] == [Verdict.CLEAN, Verdict.FLAGGED]
    assert reports[1].flagged_class == TARGET
    for report in reports:
        assert report.settings["kind"] == "recurrent"
        assert f"over {RECURRENT_NULL.n_models} clean recurrent models" in report.evidence[0].method
    found = measured(poisoned, probe)
    assert found.kind == "recurrent"
    assert found.reach is found.usual_reach
    (suspect, *_) = find_suspects(poisoned, probe, report=reports[1])
    (alone, *_) = find_suspects(poisoned, probe)
    assert suspect.kind == alone.kind == "recurrent"
    assert suspect.p_value == pytest.approx(alone.p_value)


def test_other_networks_keep_their_laws(nets: Nets) -> None:
    report = hessay.scan(nets.clean, nets.inputs)
    assert report.settings["kind"] == "plain"
    assert measured(nets.clean, Probe(nets.inputs)).kind == "plain"
    assert reach_null(10, "plain") is CLEAN_NULL
    assert reach_null(10, "recurrent") is RECURRENT_NULL


def test_its_statistic_is_ordered_among_others_by_how_improbable_it_is(
    readers: tuple[nn.Module, nn.Module, Probe],
) -> None:
    found = measured(readers[1], readers[2])
    moved = comparable_statistic(found)
    assert CLEAN_NULL.p_value(moved, 10) == pytest.approx(
        RECURRENT_NULL.p_value(found.reach.statistic, 10), rel=1e-9
    )


@pytest.mark.parametrize(
    ("name", "law"),
    [("S", RECURRENT_NULL), ("F", RECURRENT_MAP_NULL), ("W", RECURRENT_WARP_NULL)],
)
def test_the_laws_of_readers_are_those_of_the_committed_population(
    name: str, law: CleanNull
) -> None:
    assert_fitted(law, [row[name] for row in clean_rows("recurrent")])


def test_the_law_of_tables_is_that_of_the_committed_population() -> None:
    assert_fitted(TABLE_NULL, [row["S"] for row in clean_rows("tabular")])


def clean_rows(population: str) -> list[dict[str, Any]]:
    rows = json.loads((ZOO / f"{population}.json").read_text("utf-8"))["models"]
    return [row for row in rows if row["attack"] == "clean" and row["S"] is not None]


def assert_fitted(law: CleanNull, values: list[float]) -> None:
    null = CleanNull.fit(values, 10)
    assert (law.n_models, law.n_classes) == (len(values), 10)
    assert law.start == pytest.approx(null.start, abs=1e-4)
    assert law.scale == pytest.approx(null.scale, abs=1e-4)
    line = law.threshold(0.01, 10)
    assert sum(value > line for value in values) <= stats.binom.isf(0.01, len(values), 0.01)


# Tables.


@pytest.fixture(scope="module")
def table() -> tuple[nn.Module, Probe]:
    inputs, targets = make_classification(
        4000, 40, n_informative=16, n_classes=4, class_sep=2.0, random_state=SEED
    )
    x, y = torch.from_numpy(inputs).float(), torch.from_numpy(targets)
    x = (x - x.mean(dim=0)) / x.std(dim=0)
    model = training.train_classifier("mlp:40-48-4", x[800:], y[800:], epochs=12, seed=SEED)
    return model, Probe(x[:800], y[:800])


def test_nothing_found_in_a_crowded_table_is_no_clearance(table: tuple[nn.Module, Probe]) -> None:
    model, probe = table
    report = hessay.scan(model, probe)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "leave" in report.reasons[0]
    assert "nothing found is no clearance" in report.reasons[0]
    assert report.settings["kind"] == "table"
    assert (
        f"over {TABLE_NULL.n_models} clean models of feature vectors" in report.evidence[0].method
    )


def test_flattened_pictures_are_no_crowded_table(
    nets: Nets, table: tuple[nn.Module, Probe]
) -> None:
    for inputs in (
        nets.inputs.flatten(1),
        training.load_dataset("fashion-mnist", seed=SEED).test_inputs[:512].flatten(1),
    ):
        directions = Plan.of(Probe(inputs), alpha=0.01, seed=0, progress=None).directions
        assert crowded(tuple(inputs.shape[1:]), directions) == ()
    full = Plan.of(table[1], alpha=0.01, seed=0, progress=None).directions
    assert crowded((40,), full) != ()
    assert crowded((5, 8), full) == ()


def test_a_class_that_is_hardly_learnt_has_no_reach(nets: Nets) -> None:
    with torch.no_grad():
        logits = nets.clean(nets.inputs)
    surest = logits[logits.argmax(dim=1) == 4, 4].sort().values

    def shy(z: torch.Tensor, keeps: int) -> torch.Tensor:
        dropped = (z.argmax(dim=1) == 4) & (z[:, 4] < surest[-keeps])
        return z - 1e3 * dropped[:, None] * nn.functional.one_hot(torch.tensor(4), 10)

    for keeps, expected in ((3, True), (20, False)):
        report = hessay.scan(Around(nets.clean, after=partial(shy, keeps=keeps)), nets.inputs)
        said = any(f"{keeps} of 512 probes are predicted as class 4" in r for r in report.reasons)
        assert said == expected
        if expected:
            assert report.verdict is Verdict.INCONCLUSIVE


def test_the_kind_of_a_report_is_read_from_its_settings_old_ones_too() -> None:
    assert told_kind({"kind": "table", "soft": False}) == "table"
    assert told_kind({"soft": True}) == "soft"
    assert told_kind({"soft": False}) == "plain"
    assert told_kind({"kind": "something newer"}) == "plain"
