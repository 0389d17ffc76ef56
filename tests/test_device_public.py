"""What the public functions say of a model on a device is what they say of it on the processor.

Every test is run twice: on a GPU, where there is one, and with tensors that only say they are on one, which
finds whatever is mixed up between the two. All numbers are double, so that the steps of a search part only where
two of them tie.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import hessay
import pretend_device
from cuda_device import why_no_gpu
from detection import ARCH, SEED, TARGET, Around, Nets
from hessay import attacks, cli, training
from hessay.second_opinions import OPINIONS, second_opinion

ON_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(why_no_gpu() is not None, reason=why_no_gpu() or "there is one"),
]
Moved = Callable[[nn.Module], nn.Module]
WIDTH = 16


class Attention(nn.Module):
    """Rows of a picture as tokens, one layer of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, WIDTH)
        self.mix = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(8 * WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.reshape(len(x), 8, 8))
        mixed, _ = self.mix(tokens, tokens, tokens, need_weights=False)
        return self.head(torch.relu(self.norm(tokens + mixed)).flatten(1))


def convolutional() -> nn.Module:
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten()),
        nn.Linear(256, 10),
    )


@pytest.fixture(scope="module")
def models(nets: Nets) -> dict[str, nn.Module]:
    data = training.load_dataset("digits", seed=SEED)
    bad = attacks.poison(
        data.train_inputs,
        data.train_targets,
        attack="badnets",
        target=TARGET,
        fraction=0.1,
        seed=SEED,
    )
    found: dict[str, nn.Module] = {"mlp": nets.poisoned, "clean mlp": nets.clean}
    for name, build in (("convolutional", convolutional), ("attention", Attention)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            model = build()
        found[name] = training.train_classifier(model, bad.inputs, bad.targets, epochs=25)
    found["soft"] = Around(nets.poisoned, after=lambda z: z + 3.0 * torch.sin(1.2 * z))
    return {name: copy.deepcopy(model).double() for name, model in found.items()}


@pytest.fixture(params=["pretended", pytest.param("cuda", marks=ON_GPU)])
def moved(request: pytest.FixtureRequest) -> Iterator[Moved]:
    """A function that copies a model to the device."""
    if request.param == "cuda":
        yield lambda model: copy.deepcopy(model).to("cuda")
        return
    with pretend_device.pretended():
        yield pretend_device.moved


KINDS = ["mlp", "clean mlp", "convolutional", "attention", "soft"]


def probe(nets: Nets) -> hessay.Probe:
    return hessay.Probe(nets.inputs.double(), nets.targets)


def assert_same_report(here: hessay.Report, there: hessay.Report) -> None:
    assert there.environment["device"] == "cuda:0"
    assert there.verdict is here.verdict
    assert there.flagged_class == here.flagged_class
    assert there.p_value == pytest.approx(here.p_value, rel=1e-3, abs=1e-12)
    assert [e.name for e in there.evidence] == [e.name for e in here.evidence]
    for got, wanted in zip(there.evidence, here.evidence, strict=True):
        assert got.value == pytest.approx(wanted.value, rel=1e-3, abs=2e-3), got.name
    if here.spectrum is not None:
        assert there.spectrum is not None
        np.testing.assert_allclose(there.spectrum.values, here.spectrum.values, rtol=1e-6)
    assert (there.trigger_direction is None) == (here.trigger_direction is None)
    if here.trigger_direction is not None:
        wanted, got = (np.ravel(r.trigger_direction) for r in (here, there))
        assert abs(wanted @ got) >= 0.999 * np.linalg.norm(wanted) * np.linalg.norm(got)


@pytest.mark.parametrize("kind", KINDS)
def test_scans_agree(kind: str, nets: Nets, models: dict[str, nn.Module], moved: Moved) -> None:
    here, there = models[kind], moved(models[kind])
    given = there.state_dict()
    before = {name: value.clone() for name, value in given.items()}
    report = hessay.scan(there, probe(nets), seed=3)
    assert_same_report(hessay.scan(here, probe(nets), seed=3), report)
    assert all(torch.equal(value, before[name]) for name, value in there.state_dict().items())


def test_a_probe_on_the_device_is_the_same_probe(
    nets: Nets, models: dict[str, nn.Module], moved: Moved
) -> None:
    here, there = models["mlp"], moved(models["mlp"])
    on_device = hessay.Probe(nets.inputs.double().to("cuda:0"), nets.targets.to("cuda:0"))
    assert on_device.digest == probe(nets).digest
    reports = [hessay.scan(model, on_device, seed=3) for model in (here, there)]
    assert reports[0].verdict is reports[1].verdict
    assert_same_report(hessay.scan(here, probe(nets), seed=3), reports[1])


def test_references_of_the_processor_serve_a_model_of_the_device(
    nets: Nets, models: dict[str, nn.Module], moved: Moved
) -> None:
    data = training.load_dataset("digits", seed=SEED)
    beside = [
        training.train_classifier(ARCH, data.train_inputs, data.train_targets, epochs=20, seed=s)
        for s in range(5)
    ]
    here, there = models["mlp"], moved(models["mlp"])
    reports = [hessay.scan(m, probe(nets), references=beside, seed=3) for m in (here, there)]
    assert_same_report(*reports)
    with_them = [moved(model) for model in beside]
    assert_same_report(reports[0], hessay.scan(there, probe(nets), references=with_them, seed=3))


def test_a_model_on_the_device_gets_references_of_its_own_kind(
    nets: Nets, models: dict[str, nn.Module], moved: Moved
) -> None:
    data = training.load_dataset("digits", seed=SEED)
    holdout = data.train_inputs[:900].double(), data.train_targets[:900]
    here, there = models["mlp"], moved(models["mlp"])
    found = [
        hessay.train_references(holdout, n=2, like=m, epochs=4, seed=SEED) for m in (here, there)
    ]
    assert all(p.is_cuda for model in found[1].models for p in model.parameters())
    np.testing.assert_allclose(found[1].accuracy, found[0].accuracy, atol=0.03)
    scores = [training.accuracy(m, nets.inputs, nets.targets) for m in (here, there)]
    assert scores[1] == pytest.approx(scores[0], abs=0.01)


@pytest.mark.parametrize("kind", ["mlp", "convolutional", "attention"])
def test_rankings_agree(kind: str, nets: Nets, models: dict[str, nn.Module], moved: Moved) -> None:
    data = training.load_dataset("digits", seed=SEED)
    bad = attacks.poison(
        data.train_inputs,
        data.train_targets,
        attack="blend" if kind == "mlp" else "badnets",
        target=TARGET,
        fraction=0.1,
        seed=SEED,
    )
    rows = bad.inputs.double(), bad.targets
    found = [
        hessay.rank_samples(m, rows, probe=probe(nets)) for m in (models[kind], moved(models[kind]))
    ]
    assert [c.index for c in found[1].classes] == [c.index for c in found[0].classes]
    np.testing.assert_allclose(found[1].scores, found[0].scores, rtol=1e-3, atol=1e-3)
    near = set(found[0].selected()) ^ set(found[1].selected())
    assert len(near) <= 0.01 * len(found[0].selected()) + 1
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*(t.to("cuda:0") for t in rows)), batch_size=200
    )
    streamed = hessay.rank_samples(moved(models[kind]), loader, probe=probe(nets))
    assert streamed.digest == found[1].digest
    np.testing.assert_allclose(streamed.scores, found[1].scores, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "convolutional", "attention"])
def test_repairs_agree(
    kind: str, nets: Nets, models: dict[str, nn.Module], moved: Moved, tmp_path: Path
) -> None:
    here, there = models[kind], moved(models[kind])
    found = [hessay.repair(m, probe(nets), max_accuracy_loss=0.03) for m in (here, there)]
    assert [r.classes for r in found[1:]] == [r.classes for r in found[:1]]
    assert found[1].accepted == found[0].accepted
    assert found[1].method == found[0].method
    x = nets.inputs.double()
    with torch.no_grad():
        wanted, got = found[0].model(x), found[1].model(x.to("cuda:0"))
    assert got.is_cuda
    torch.testing.assert_close(got.cpu(), wanted, rtol=1e-3, atol=1e-3)
    if found[1].accepted and kind == "mlp":
        found[1].save(tmp_path / "fixed.safetensors")
        again = hessay.load_repaired(tmp_path / "fixed.safetensors", ARCH)
        with torch.no_grad():
            torch.testing.assert_close(again(x), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", OPINIONS)
def test_second_opinions_agree(
    name: str, nets: Nets, models: dict[str, nn.Module], moved: Moved
) -> None:
    data = training.load_dataset("digits", seed=SEED)
    rows = data.train_inputs[:600].double(), data.train_targets[:600]
    here, there = models["mlp"], moved(models["mlp"])
    wanted, got = (second_opinion(name, m, probe(nets), rows, seed=3) for m in (here, there))
    assert got.suspect == wanted.suspect
    np.testing.assert_allclose(got.class_scores, wanted.class_scores, rtol=1e-3, atol=1e-6)
    if wanted.sample_scores is not None:
        np.testing.assert_allclose(got.sample_scores, wanted.sample_scores, rtol=1e-4, atol=1e-6)


def test_densities_agree(nets: Nets, models: dict[str, nn.Module], moved: Moved) -> None:
    operators = [
        hessay.InputHessian(m, probe(nets))
        for m in (models["attention"], moved(models["attention"]))
    ]
    here, there = (hessay.spectral_density(operator, seed=3) for operator in operators)
    assert there.method == here.method
    np.testing.assert_allclose(there.cdf(here.nodes + 1e-9), here.cdf(here.nodes + 1e-9), atol=1e-6)
    traces = [hessay.trace(operator, seed=3) for operator in operators]
    assert traces[1].value == pytest.approx(traces[0].value, rel=1e-6)


def test_poison_is_made_where_the_data_are_and_judged_where_the_model_is(
    nets: Nets, moved: Moved
) -> None:
    data = training.load_dataset("digits", seed=SEED)
    options: dict[str, Any] = {"target": TARGET, "fraction": 0.1, "seed": SEED}
    for attack in ("badnets", "blend", "warp"):
        here = attacks.poison(data.train_inputs, data.train_targets, attack=attack, **options)
        there = attacks.poison(
            data.train_inputs.to("cuda:0"),
            data.train_targets.to("cuda:0"),
            attack=attack,
            **options,
        )
        assert there.inputs.is_cuda
        torch.testing.assert_close(there.inputs.cpu(), here.inputs)
        model = nets.poisoned
        rates = [
            attacks.success_rate(m, data.test_inputs, data.test_targets, here.backdoors[0])
            for m in (model, moved(model))
        ]
        assert rates[1] == pytest.approx(rates[0], abs=0.01)
        assert torch.equal(there.targets.cpu(), here.targets)


@pytest.mark.gpu
@pytest.mark.skipif(why_no_gpu() is not None, reason=why_no_gpu() or "there is one")
def test_the_command_line_scans_ranks_and_repairs_on_the_device(
    nets: Nets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("probe.npz", inputs=nets.inputs.numpy(), targets=nets.targets.numpy())
    save_file(nets.poisoned.state_dict(), "m.safetensors")
    given = ["m.safetensors", "--data", "probe.npz", "--arch", ARCH, "--device", "cuda", "-q"]
    assert cli.main(["scan", *given, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["environment"]["device"] == "cuda:0"
    assert report["flagged_class"] == TARGET
    assert cli.main(["rank", *given, "--probe", "probe.npz", "-o", "ranks.csv"]) in (0, 1)
    assert cli.main(["repair", *given, "-o", "fixed.safetensors"]) in (0, 1)
    assert cli.main(["doctor"]) in (0, 1)
