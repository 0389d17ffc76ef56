"""What a ranking refuses, and what it says then."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import hessay
from detection import Around, Nets
from hessay.detector.suspects import ReachUndefined
from hessay.errors import ArgumentError, HessayError, NonFinite, ProbeError, ShapeError
from ranking_case import Case, case_of


@pytest.fixture(scope="module")
def case(nets: Nets) -> Case:
    return case_of(nets)


def broken(case: Case) -> Iterator[tuple[Tensor, Tensor]]:
    yield case.inputs[:10], case.targets[:10]
    raise OSError("disk gone")


def with_nan(case: Case) -> object:
    x = case.inputs.clone()
    x[[700, 30, 31], 0, 0] = float("nan")
    return DataLoader(TensorDataset(x, case.targets), batch_size=64)


BAD: list[tuple[Callable[[Case], object], type[HessayError], str]] = [
    (broken, ProbeError, r"OSError at batch 1: disk gone"),
    (with_nan, NonFinite, r"3 of 1198 samples .* first in row 30"),
    (lambda c: (c.inputs, c.targets + 7), ProbeError, r"label 1\d of row \d+ .* 0 to 9"),
    (lambda c: (c.inputs, c.targets - 1), ProbeError, r"label -1 of row \d+"),
    (lambda c: (c.inputs, c.targets[:-1]), ShapeError, r"targets must have shape \(1198,\)"),
    (lambda c: (c.inputs, c.targets.double()), ProbeError, r"float64 .* integers"),
    (lambda c: (c.inputs[:, :4], c.targets), ShapeError, r"\(4, 8\), the probe has \(8, 8\)"),
    (lambda c: ((c.inputs * 16).byte(), c.targets), ProbeError, "uint8; convert them to float32"),
    (lambda _: [], ProbeError, "no samples"),
    (lambda _: (torch.zeros(0, 8, 8), torch.zeros(0, dtype=torch.int64)), ProbeError, "no samples"),
    (lambda c: [(c.inputs[:5], c.targets[:5]), c.inputs[5:9]], ProbeError, "row 5 on have no lab"),
    (lambda c: [(c.inputs[:5], c.targets[:4])], ShapeError, "5 inputs and labels"),
    (lambda _: 7, ProbeError, "int; pass a DataLoader"),
    (lambda _: "nowhere.npz", ProbeError, "no probe file nowhere"),
]


@pytest.mark.parametrize(("data", "error", "words"), BAD)
def test_bad_data_is_named(
    data: Callable[[Case], object], error: type[HessayError], words: str, case: Case
) -> None:
    with pytest.raises(error, match=words):
        case.rank(data(case))


def test_a_model_whose_reach_is_undefined_has_no_ranking(case: Case) -> None:
    constant = Around(case.nets.poisoned, after=lambda z: z * 0 + torch.arange(10.0))
    with pytest.raises(ReachUndefined, match="not defined"):
        hessay.rank_samples(constant, case.inputs, probe=case.probe)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": [10], "suspects": None}, "0 to 9"),
        ({"classes": [1]}, "not both"),
        ({"suspects": ()}, "suspects is empty"),
    ],
)
def test_options_that_contradict_are_refused(
    options: dict[str, object], words: str, case: Case
) -> None:
    with pytest.raises(ArgumentError, match=words):
        case.rank((case.inputs, case.targets), **options)
