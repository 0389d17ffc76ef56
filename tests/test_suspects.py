"""The way into a suspicious class: found for the right class, and it works."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detection import TARGET, Nets
from hessay.detector import scan
from hessay.detector.constants import CLEAN_NULL
from hessay.detector.suspects import find_suspects
from hessay.errors import ArgumentError
from hessay.probe import Probe


def test_the_target_is_the_first_suspect_and_its_perturbation_works(nets: Nets) -> None:
    probe = Probe(nets.inputs, nets.targets)
    (first, *_) = find_suspects(nets.poisoned, probe)
    assert first.index == TARGET
    assert np.all(np.linalg.norm(first.perturbation, axis=1) <= np.array(first.radii) * (1 + 1e-5))
    assert first.flip_rate[-1] > 0.9
    trigger = nets.trigger.direction(nets.inputs).numpy()
    unit = first.perturbation[1] / np.linalg.norm(first.perturbation[1])
    assert abs(unit @ trigger) > 5 / 64**0.5  # of 5 standard deviations of a random direction's


def test_the_report_decides_which_classes_are_suspects(nets: Nets) -> None:
    probe = Probe(nets.inputs, nets.targets)
    report = scan(nets.poisoned, probe)
    found = find_suspects(nets.poisoned, probe, report=report)
    assert found[0].index == report.flagged_class
    line = CLEAN_NULL.threshold(0.01, 10)
    above = {row.index for row in report.classes if row.log_ratio > line}
    assert {suspect.index for suspect in found} == above | {report.flagged_class}


@pytest.mark.parametrize(("log_ratio", "suspected"), [(0.9, False), (2.0, True)])
def test_leaning_clears_a_class_of_as_much_as_it_explains(
    nets: Nets, log_ratio: float, suspected: bool
) -> None:
    probe = Probe(nets.inputs, nets.targets)
    report = scan(nets.poisoned, probe)
    leaning, other = 0, 1  # the model leans towards the first of them, and not towards the second
    counts = {leaning: 3 * int((nets.targets == leaning).sum())}
    classes = tuple(
        replace(row, log_ratio=log_ratio, count=counts.get(row.index, row.count))
        if row.index in (leaning, other)
        else row
        for row in report.classes
    )
    found = find_suspects(nets.poisoned, probe, report=replace(report, classes=classes))
    indices = [suspect.index for suspect in found]
    assert indices[0] == report.flagged_class == TARGET
    assert other in indices
    assert (leaning in indices) == suspected


def test_one_class_asked_for_is_refined_as_it_is_among_all(nets: Nets) -> None:
    probe = Probe(nets.inputs, nets.targets)
    every = find_suspects(nets.poisoned, probe, classes=range(10))
    (alone,) = find_suspects(nets.poisoned, probe, classes=[TARGET])
    # Batches of other sizes round differently, and the path follows normalised gradients.
    np.testing.assert_allclose(alone.perturbation, every[TARGET].perturbation, atol=1e-3)


def test_a_class_the_model_lacks_is_named(nets: Nets) -> None:
    with pytest.raises(ArgumentError, match="0 to 9"):
        find_suspects(nets.poisoned, Probe(nets.inputs), classes=[10])
