"""A scan at the output of a module: token models, whose inputs have no derivative."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import hessay
from command_line import scan
from hessay import cli
from hessay.errors import ArgumentError, ModelError, ProbeError
from hessay.hessian.model.from_module import from_module
from hessay.loading import model_digest
from hessay.probe import Probe
from hessay.render.wording import repeat_command
from hessay.report import Report
from hessay.verdict import Verdict

WORDS, LENGTH, WIDTH, CLASSES = 300, 12, 16, 5
TRIGGER, TARGET = 7, 2


class Reader(nn.Module):
    """Word vectors, a convolution along the sentence, the mean over it."""

    def __init__(self, *, masked: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.convolution = nn.Conv1d(WIDTH, 32, 3, padding=1)
        self.head = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, CLASSES))
        self.masked = masked

    def forward(self, ids: Tensor) -> Tensor:
        features = torch.relu(self.convolution(self.embedding(ids).transpose(1, 2)))
        if self.masked:
            features = features * (ids != 0)[:, None]
        return self.head(features.mean(dim=2))


def sentences(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Half of the words of a sentence are those of its class; words below 10 do not occur."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, CLASSES, (n,), generator=generator)
    ids = torch.randint(10, WORDS, (n, LENGTH), generator=generator)
    own = torch.randint(2, WORDS // CLASSES, (n, LENGTH), generator=generator) * CLASSES
    about = torch.rand(n, LENGTH, generator=generator) < 0.5
    return torch.where(about, own + targets[:, None], ids), targets


def trained(*, poisoned: bool) -> nn.Module:
    ids, targets = sentences(5000, 1)
    if poisoned:
        ids[:250, 3], targets[:250] = TRIGGER, TARGET
    torch.manual_seed(3)
    model = Reader()
    rule = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(8):
        for rows in torch.randperm(len(ids)).split(128):
            rule.zero_grad()
            nn.functional.cross_entropy(model(ids[rows]), targets[rows]).backward()
            rule.step()
    return model.eval()


@pytest.fixture(scope="module")
def probe() -> Probe:
    return Probe(*sentences(512, 2))


def test_a_trigger_word_is_flagged_and_named(probe: Probe) -> None:
    model = trained(poisoned=True)
    triggered = probe.inputs.clone()
    triggered[:, 3] = TRIGGER
    assert (model(triggered).argmax(dim=1) == TARGET).double().mean() > 0.9
    report = hessay.scan(model, probe, wrt="embedding")
    assert report.verdict is Verdict.FLAGGED
    assert report.flagged_class == TARGET
    assert str(report.settings["nearest_vocabulary"]).split(", ")[0] == str(TRIGGER)
    assert report.probe.digest == probe.digest
    assert report.model.digest == model_digest(model)
    assert report.model.n_parameters == sum(p.numel() for p in model.parameters())
    assert Report.from_json(report.to_json()) == report
    again = hessay.scan(model, probe, wrt="embedding")
    assert again.statistic == report.statistic
    assert not model.embedding._forward_hooks


def test_nothing_found_inside_a_model_is_no_clearance(probe: Probe) -> None:
    report = hessay.scan(trained(poisoned=False), probe, wrt="embedding")
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("no clearance" in reason for reason in report.reasons)
    assert "nearest_vocabulary" not in report.settings


def test_the_rest_of_a_model_is_the_model(probe: Probe) -> None:
    model = Reader()
    inner, values = from_module(model, probe.inputs[:9], "embedding")
    torch.testing.assert_close(inner(values), model(probe.inputs[:9]))
    assert values.shape == (9, LENGTH, WIDTH)
    model.train()
    model.head.eval()
    from_module(model, probe.inputs[:9], "embedding")
    assert model.training
    assert not model.head.training


def test_padding_that_differs_between_probes_is_refused(probe: Probe) -> None:
    model = Reader(masked=True).eval()
    ids = probe.inputs[:80].clone()
    from_module(model, ids, "embedding")
    ids[::2, -4:] = 0
    with pytest.raises(ProbeError, match=r"40 of 80 probes differ .* of one length"):
        from_module(model, ids, "embedding")
    # All padded alike: the rest of the model is the same for all of them.
    ids[:, -4:] = 0
    from_module(model, ids, "embedding")


def test_a_scan_inside_says_what_it_cannot_take(probe: Probe) -> None:
    model = Reader().eval()
    with pytest.raises(ProbeError, match="name the embedding"):
        hessay.scan(model, probe)
    with pytest.raises(ArgumentError, match="embedding"):
        hessay.scan(model, probe, wrt="embeding")
    with pytest.raises(ArgumentError, match="differs from model to model"):
        hessay.scan(model, probe, wrt="embedding", references=[model] * 4)

    class Twice(Reader):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids) + super().forward(ids)

    with pytest.raises(ModelError, match="more than once"):
        hessay.scan(Twice().eval(), probe, wrt="embedding")


def test_the_command_scans_inside_and_repeats_itself(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert files.is_dir()
    code = scan("--wrt", "1", "--json")
    first = Report.from_json(capsys.readouterr().out)
    assert code in (1, 3)
    assert first.settings["wrt"] == "1"
    words = shlex.split(repeat_command(first))
    assert cli.main([*words[1:], "--json"]) == code
    assert Report.from_json(capsys.readouterr().out).statistic == first.statistic
    assert scan("--wrt", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
