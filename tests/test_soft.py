"""Networks that noise overthrows: their reach, the length it is taken at, and the law it is held against."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

import hessay
from detection import SEED, Around, Nets, siblings
from hessay.detector.alarms import ONE_CLASS, comparable_statistic
from hessay.detector.constants import CLEAN_NULL, PROFILE_NULL, SOFT_NULL, SOFT_WARP_NULL
from hessay.detector.measure import Measured
from hessay.detector.plan import Plan
from hessay.detector.soft import LEVEL, SOFT_AGREEMENT, level_drop, level_reach, over_runners_up
from hessay.detector.statistics import ClassReach
from hessay.detector.warp_alarm import WARPS
from hessay.hessian.perturbation import RefinedDirections

POPULATION = Path(__file__).parents[1] / "bench" / "zoo" / "soft.json"
RADII = np.array([0.5, 1.25])
Array = NDArray[np.float64]


def drawn(seed: int, n_classes: int = 7) -> tuple[ClassReach, RefinedDirections]:
    """Reaches and steps of no network in particular; margins fall further on longer steps."""
    rng = np.random.default_rng(seed)
    first, nature = rng.uniform(0.1, 2.0, (2, n_classes))
    drops = np.cumsum(rng.uniform(0.05, 1.0, (2, n_classes)), axis=0)
    usual = ClassReach(first, drops[0], nature, first, np.zeros(n_classes), 0.0, 0)
    shape = (2, n_classes, 3)
    steps = RefinedDirections(np.zeros(shape), drops, np.zeros((2, n_classes)), tuple(RADII), 6)
    return usual, steps


def ripple(z: Tensor) -> Tensor:
    """Logits that noise on the input overthrows now and then."""
    return z + 3.0 * torch.sin(1.2 * z)


def measured(model: nn.Module, inputs: Tensor) -> Measured:
    return Plan.of(hessay.Probe(inputs), alpha=0.01, seed=0, progress=None).measured(model, "")


@pytest.fixture(scope="module")
def soft_net(nets: Nets) -> nn.Module:
    return Around(nets.poisoned, after=ripple)


# The length and the reach, on plain numbers.


@given(st.integers(0, 10_000), st.floats(0.2, 3.0))
def test_at_the_length_taken_the_median_class_has_lost_the_level(seed: int, size: float) -> None:
    drops = size * np.cumsum(np.random.default_rng(seed).uniform(0.01, 1.0, (2, 7)), axis=0)
    length, drop = level_drop(drops, RADII)
    reached = np.median(drops[1]) > LEVEL
    assert length <= RADII[1]
    assert (length == RADII[1]) != reached
    if not reached:
        assert np.array_equal(drop, drops[1])
        return
    # Each class's curve, read off at that length by an interpolator that knows nothing of levels.
    expected = [np.interp(length, [0.0, *RADII], [0.0, *column]) for column in drops.T]
    assert drop == pytest.approx(expected, rel=1e-12)
    # The median of straight lines is no straight line: between two lengths it may sag below the
    # line through its ends, but never out of the segment it is taken from.
    medians = [0.0, *np.median(drops, axis=1)]
    segment = 0 if length <= RADII[0] else 1
    assert medians[segment] - 1e-12 <= np.median(drop) <= medians[segment + 1] + 1e-12


def test_steps_that_lower_no_margin_leave_the_longest_length() -> None:
    length, drop = level_drop(np.full((2, 5), -0.3), RADII)
    assert length == RADII[1]
    assert np.array_equal(drop, np.zeros(5))


@given(st.integers(0, 10_000), st.floats(0.5, 1.0))
def test_renumbering_the_classes_renumbers_the_reaches(seed: int, agreement: float) -> None:
    usual, steps = drawn(seed)
    order = np.random.default_rng(seed).permutation(len(usual.nature))
    moved = ClassReach(
        *(getattr(usual, name)[order] for name in ("first_order", "finite", "nature", "reach")),
        usual.log_ratio,
        0.0,
        0,
    )
    other = RefinedDirections(
        steps.perturbation, steps.margin_drop[:, order], steps.flip_rate, steps.radii, 6
    )
    found, again = level_reach(usual, steps, agreement), level_reach(moved, other, agreement)
    assert again.log_ratio == pytest.approx(found.log_ratio[order], abs=1e-12)
    assert order[again.suspect] == found.suspect
    assert again.statistic == pytest.approx(found.statistic, abs=1e-12)


@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_the_unit_of_the_input_does_not_matter(seed: int, unit: float) -> None:
    usual, steps = drawn(seed)
    scaled = ClassReach(
        usual.first_order / unit,
        usual.finite / unit,
        usual.nature,
        usual.reach / unit,
        usual.log_ratio,
        0.0,
        0,
    )
    longer = RefinedDirections(
        steps.perturbation, steps.margin_drop, steps.flip_rate, tuple(RADII * unit), 6
    )
    found, again = level_reach(usual, steps, 0.7), level_reach(scaled, longer, 0.7)
    assert again.log_ratio == pytest.approx(found.log_ratio, abs=1e-9)
    assert again.reach == pytest.approx(found.reach / unit, rel=1e-9)


def test_slopes_count_for_what_noise_leaves() -> None:
    usual, steps = drawn(SEED)
    slower = ClassReach(
        usual.first_order * np.linspace(0.1, 10.0, len(usual.nature)),
        usual.finite,
        usual.nature,
        usual.reach,
        usual.log_ratio,
        0.0,
        0,
    )
    gaps = {}
    for agreement in (0.3, 0.5, 0.8, 1.0):
        one, two = level_reach(usual, steps, agreement), level_reach(slower, steps, agreement)
        gaps[agreement] = np.log(two.reach / one.reach)
    assert np.array_equal(gaps[0.3], np.zeros(len(usual.nature)))
    assert np.array_equal(gaps[0.5], np.zeros(len(usual.nature)))
    # reach ~ first^w: a factor in the slopes comes through with the power w = agreement - 1/2.
    expected = np.log(np.linspace(0.1, 10.0, len(usual.nature)))
    assert gaps[0.8] == pytest.approx(0.3 * expected, abs=1e-12)
    assert gaps[1.0] == pytest.approx(0.5 * expected, abs=1e-12)


@given(
    st.lists(st.floats(0.01, 100.0), min_size=4, max_size=12, unique=True), st.floats(0.01, 100.0)
)
def test_the_largest_is_held_against_the_upper_half_of_the_others(
    reaches: list[float], unit: float
) -> None:
    found = over_runners_up(np.array(reaches))
    others = sorted(reaches)[:-1]
    after = others[-(len(reaches) // 2) :]
    assert found.max() == pytest.approx(math.log(max(reaches)) - np.log(after).mean(), abs=1e-9)
    assert np.exp(found - found.max()) == pytest.approx(np.array(reaches) / max(reaches))
    assert over_runners_up(unit * np.array(reaches)) == pytest.approx(found, abs=1e-9)
    # However much harder the hardest class gets, nothing stands out more.
    harder = np.array(reaches)
    harder[harder.argmin()] *= 1e-3
    assert over_runners_up(harder).max() == pytest.approx(found.max(), abs=1e-9)


def test_without_runners_up_nothing_stands_out() -> None:
    assert np.array_equal(over_runners_up(np.array([3.0, 1.0, 0.0, 0.0])), np.zeros(4))
    assert over_runners_up(np.array([3.0, 1.0, 1.0, 0.0]))[3] == 0.0


# Inside a scan.


def test_a_network_is_soft_when_noise_overthrows_it(nets: Nets, soft_net: nn.Module) -> None:
    plain, soft = measured(nets.poisoned, nets.inputs), measured(soft_net, nets.inputs)
    assert plain.agreement >= SOFT_AGREEMENT > soft.agreement
    assert plain.soft_reach is None
    assert plain.reach is plain.usual_reach
    assert soft.soft_reach is not None
    assert soft.reach is soft.soft_reach
    assert comparable_statistic(plain) == plain.reach.statistic


def test_what_decides_on_a_soft_network_is_said(nets: Nets, soft_net: nn.Module) -> None:
    plain, soft = hessay.scan(nets.poisoned, nets.inputs), hessay.scan(soft_net, nets.inputs)
    words = {report: report.evidence[0].method for report in (plain, soft)}
    assert (plain.settings["soft"], soft.settings["soft"]) == (False, True)
    assert f"law of S over {SOFT_NULL.n_models} clean soft models" in words[soft]
    assert "a soft network" in words[soft]
    assert "soft" not in words[plain]
    found = measured(soft_net, nets.inputs)
    assert soft.statistic == found.reach.statistic
    share = (1.0 - WARPS) * ONE_CLASS  # the nets take pictures of 8 x 8
    assert soft.threshold == pytest.approx(SOFT_NULL.threshold(share * 0.01, 10))
    assert [row.log_ratio for row in soft.classes] == found.reach.log_ratio.tolist()


def test_beside_references_a_soft_network_passes_four_tests_within_alpha(
    nets: Nets, soft_net: nn.Module
) -> None:
    plan = Plan.of(hessay.Probe(nets.inputs), alpha=0.01, seed=0, progress=None)
    table = plan.references(siblings(nets.clean, 4), trained_alike=False)
    tests = plan.tests(plan.measured(soft_net, ""), table)
    names = ["class_profile", "reach_spread", "class_map_excess", "warp_reach"]
    assert [test.name for test in tests] == names
    assert sum(test.weight for test in tests) == pytest.approx(1.0)
    profile = PROFILE_NULL.threshold(0.5 * (1.0 - WARPS) * ONE_CLASS * 0.01, 10)
    assert tests[0].threshold == pytest.approx(profile)
    assert tests[3].threshold == pytest.approx(SOFT_WARP_NULL.threshold(WARPS * 0.01, 10))
    assert "soft models" in tests[3].law


def test_statistics_of_both_kinds_are_ordered_by_their_p_values(
    nets: Nets, soft_net: nn.Module
) -> None:
    soft = measured(soft_net, nets.inputs)
    moved = comparable_statistic(soft)
    assert CLEAN_NULL.p_value(moved, 10) == pytest.approx(
        SOFT_NULL.p_value(soft.reach.statistic, 10), rel=1e-9
    )
    detector = hessay.Detector().fit(None, nets.inputs)
    assert detector.score_samples([soft_net])[0] == pytest.approx(-moved)


# The law.


def test_the_law_is_that_of_the_committed_population() -> None:
    document = json.loads(POPULATION.read_text("utf-8"))
    fitted = document["summary"]
    assert (SOFT_NULL.start, SOFT_NULL.scale, SOFT_NULL.n_models) == (
        fitted["start"],
        fitted["scale"],
        fitted["n_models"],
    )
    clean = [row for row in document["models"] if row["soft"] and row["attack"] == "clean"]
    soft = [row for row in clean if not row["leans"]]
    line = SOFT_NULL.threshold(ONE_CLASS * 0.01, 10)
    alarms = sum(row["S"] > line for row in soft)
    assert len(soft) == SOFT_NULL.n_models
    assert alarms <= stats.binom.isf(0.01, len(soft), 0.01)


def test_leaning_explains_no_effective_backdoor_of_the_population() -> None:
    rows = json.loads(POPULATION.read_text("utf-8"))["models"]
    leaning = [row for row in rows if row["leans"]]
    assert {row["attack"] for row in leaning} >= {"clean"}
    assert all(row["attack"] == "clean" or row["attack_success"] < 0.5 for row in leaning)
