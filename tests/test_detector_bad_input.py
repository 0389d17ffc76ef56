"""Probes and references that do not serve: INCONCLUSIVE with the reason, or an error that says what to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hessay
from detection import Nets, siblings
from hessay.errors import ArgumentError
from hessay.probe import Probe
from hessay.verdict import Verdict


def test_copies_of_a_probe_do_not_count(nets: Nets) -> None:
    few = hessay.scan(nets.clean, Probe(nets.inputs[:40].repeat(13, 1, 1)))
    assert few.verdict is Verdict.INCONCLUSIVE
    assert any("only 40 of 520 probes are different" in reason for reason in few.reasons)
    # Enough different ones among the copies decide as they would alone.
    enough = hessay.scan(nets.clean, Probe(nets.inputs[:256].repeat(2, 1, 1)))
    assert enough.verdict is Verdict.CLEAN


def test_a_class_that_no_label_names_is_said(nets: Nets) -> None:
    # A network that sometimes answers 3: the class is predicted, though it is not there.
    keep = nets.targets != 3
    inputs, targets = nets.inputs[keep], nets.targets[keep]

    class Mistaken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nets.clean

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.net(x)
            dark = x.flatten(1).mean(dim=1) < float(inputs.flatten(1).mean(dim=1).quantile(0.03))
            return logits + 30.0 * dark[:, None] * nn.functional.one_hot(torch.tensor(3), 10)

    report = hessay.scan(Mistaken().eval(), Probe(inputs, targets))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("no probe is labelled 3" in reason for reason in report.reasons)


def test_references_of_another_task_are_named(nets: Nets) -> None:
    probe = Probe(nets.inputs, nets.targets)
    wider = [nn.Sequential(nn.Flatten(), nn.Linear(81, 10)).eval()] * 4
    with pytest.raises(
        ArgumentError, match=r"reference model 0 cannot be used on this probe.*same inputs"
    ):
        hessay.scan(nets.clean, probe, references=wider)
    fewer = [nn.Sequential(nets.clean, nn.Linear(10, 5)).eval()] * 4
    with pytest.raises(ArgumentError, match=r"reference model 0 cannot be used.*target 9"):
        hessay.scan(nets.clean, probe, references=fewer)

    class Five(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nets.clean

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)[:, :5] + self.net(x)[:, 5:]

    with pytest.raises(ArgumentError, match="reference models have 5 classes"):
        hessay.scan(nets.clean, Probe(nets.inputs), references=siblings(Five().eval(), 4))
