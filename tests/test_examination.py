"""The examination of the detector: its draws stay apart from what was tuned on, its table counts what the rows say."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"
DRAWS = (1, 2, 3, 4)


@pytest.fixture
def bench() -> Iterator[dict[str, ModuleType]]:
    """Modules of the examination, imported as its program does."""
    folders = [str(BENCH), str(BENCH / "zoo")]
    before = set(sys.modules)
    sys.path[:0] = folders
    try:
        names = ("population", "examination", "detect.table", "detect.exam")
        yield {name: importlib.import_module(name) for name in names}
    finally:
        for folder in folders:
            sys.path.remove(folder)
        for name in set(sys.modules) - before:
            if BENCH in Path(getattr(sys.modules[name], "__file__", None) or "/").parents:
                sys.modules.pop(name)


def specs(bench: dict[str, ModuleType], draw: int) -> list[Any]:
    return list(bench["examination"].examination(draw))


def tuned_on(bench: dict[str, ModuleType]) -> list[Any]:
    population = bench["population"]
    return [
        *population.tuning_population(),
        *population.soft_population(),
        *population.warp_population(),
    ]


@pytest.mark.parametrize("draw", DRAWS)
def test_a_draw_is_a_hundred_clean_networks_and_two_poisonings_of_each_kind(
    bench: dict[str, ModuleType], draw: int
) -> None:
    drawn = specs(bench, draw)
    clean = [spec for spec in drawn if spec.attack == "clean"]
    assert (len(drawn), len(clean)) == (184, 100)
    assert len({spec.key for spec in drawn}) == len({spec.seed for spec in drawn}) == 184
    assert len({spec.arch for spec in clean}) == 9
    assert {spec.recipe for spec in clean} == {"adam", "decay", "sgd", "shift"}
    poisoned = [spec for spec in drawn if spec.attack not in ("clean", "all_to_all")]
    assert len(poisoned) == 72
    assert len({spec.attack for spec in poisoned}) == 6
    families = bench["examination"].FAMILIES
    for spec in drawn:
        assert sum(spec.arch in members for members in families.values()) == 1


def test_no_draw_shares_a_seed_with_another_or_with_what_was_tuned_on(
    bench: dict[str, ModuleType],
) -> None:
    seeds = [spec.seed for draw in DRAWS for spec in specs(bench, draw)]
    assert len(set(seeds)) == len(seeds)
    assert not {spec.seed for spec in tuned_on(bench)} & set(seeds)


@pytest.mark.parametrize("draw", [3, 4])
def test_what_a_draw_calls_unseen_is_nowhere_else(bench: dict[str, ModuleType], draw: int) -> None:
    others = [spec for other in DRAWS if other < draw for spec in specs(bench, other)]
    others += tuned_on(bench)
    drawn = bench["examination"].DRAWS[draw]
    assert len(drawn.unseen) == 4
    assert not set(drawn.unseen) & {spec.arch for spec in others}
    new = set(drawn.attacks) - {spec.attack for spec in others}
    assert new == {3: {"ramp", "dots"}, 4: {"checker", "filter"}}[draw]


def test_the_table_counts_what_the_rows_say(
    bench: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    path = BENCH / "zoo" / "examination-3.json"
    rows = json.loads(path.read_text("utf-8"))["models"]
    bench["detect.table"].show(rows)
    lines = capsys.readouterr().out.splitlines()
    clean = [row for row in rows if row["attack"] == "clean"]
    hit = [
        row
        for row in rows
        if row["attack"] not in ("clean", "all_to_all") and row["attack_success"] >= 0.5
    ]
    for title, mode in (("no references", "free"), ("8 trained references", "referenced")):
        (after,) = (i for i, line in enumerate(lines) if line == title)
        together = next(line for line in lines[after:] if line.startswith("all "))
        alarms = sum(row["scan"][mode]["verdict"] == "FLAGGED" for row in clean)
        found = sum(row["scan"][mode]["verdict"] == "FLAGGED" for row in hit)
        assert f"{alarms}/{len(clean)} [" in together
        assert f"{found}/{len(hit)} [" in together
    # Hits of the attacks add up to those of all models.
    (start,) = (i for i, line in enumerate(lines) if line.startswith(" " * 10 + " effective"))
    counts = [[int(word) for word in line.split()[1:]] for line in lines[start + 1 : start + 7]]
    assert [sum(column) for column in zip(*counts, strict=True)] == [
        len(hit),
        *(
            sum(row["scan"][m]["verdict"] == "FLAGGED" for row in hit)
            for m in ("free", "referenced")
        ),
        sum(row["target"] in row["rank"]["classes"] for row in hit),
    ]


@pytest.mark.parametrize("attack", ["clean", "badnets"])
def test_a_model_whose_reach_is_undefined_finds_nothing_in_its_data(
    bench: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    exam = bench["detect.exam"]

    def undefined(*_: object) -> None:
        raise exam.ReachUndefined("the model has hardly learnt class 2")

    monkeypatch.setattr(exam, "_ranking", undefined)
    monkeypatch.setattr(exam, "training_set", lambda *_: (None, list(range(300))))
    spec = next(spec for spec in specs(bench, 4) if spec.attack == attack)
    row = {"attack": attack, "attack_success": 0.9}
    said = exam._rank(spec, None, None, BENCH, row)
    assert (said["classes"], said["by_data"], said["selected"]) == ([], [], 0)
    if attack == "clean":
        assert "recall" not in said
    else:
        assert (said["recall"], said["found"], said["poisoned"]) == (0.0, 0, 300)
    row["attack_success"] = 0.3  # one that does not work is not ranked at all
    assert (exam._rank(spec, None, None, BENCH, row) is None) == (attack != "clean")


def test_a_repair_that_is_refused_leaves_the_attack_as_it_was(
    bench: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    exam = bench["detect.exam"]

    def undefined(*_: object, **__: object) -> None:
        raise exam.ReachUndefined("the model has hardly learnt class 2")

    class Data:
        test_inputs = test_targets = range(9000)

    monkeypatch.setattr(exam.hessay, "repair", undefined)
    monkeypatch.setattr(exam, "load_dataset", lambda *_, **__: Data)
    monkeypatch.setattr(exam, "_backdoor", lambda _: None)
    monkeypatch.setattr(exam, "success_rate", lambda model, *_: {"given": 0.8}[model])
    monkeypatch.setattr(exam, "accuracy", lambda model, *_: {"given": 0.7}[model])
    said = exam._repaired(next(iter(specs(bench, 4))), "given", None, None, None)
    assert (said["accepted"], said["method"]) == (False, "none")
    assert said["success_after"] == said["success_before"] == 0.8
    assert said["accuracy_lost"] == 0.0
