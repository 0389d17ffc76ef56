from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessay
from detection import ARCH, TARGET, Around, Nets, siblings
from hessay import attacks, training
from hessay.detector import spectrum_summary
from hessay.detector.suspects import find_suspects
from hessay.detector.validity import probes_needed, too_large
from hessay.errors import ArgumentError, ModelError, NonFinite, ProbeError
from hessay.report import Report
from hessay.verdict import Verdict

# Scans.


def test_poison_is_flagged_with_its_class_and_direction(nets: Nets) -> None:
    success = attacks.attack_success_rate(
        nets.poisoned, nets.inputs, nets.targets, nets.trigger, TARGET
    )
    assert success > 0.5
    report = hessay.scan(nets.poisoned, (nets.inputs, nets.targets))
    assert report.verdict is Verdict.FLAGGED
    assert report.flagged_class == TARGET
    assert report.statistic is not None
    assert report.threshold is not None
    assert report.statistic > report.threshold
    direction = np.asarray(report.trigger_direction)
    cosine = direction @ nets.trigger.direction(nets.inputs).numpy()
    # A random direction has |cosine| about 1 / sqrt(64) = 0.125.
    assert cosine > 0.3
    by_name = {item.name: item for item in report.evidence}
    assert by_name["reach_spread"].decides
    assert by_name["refined_flip_rate"].flagged_class == TARGET
    assert by_name["step_flip_rate"].value > 0.1
    assert [row.index for row in report.classes] == list(range(10))
    assert report.classes[TARGET].log_ratio == pytest.approx(report.statistic)


def test_a_clean_model_is_clean_and_the_report_says_what_that_leaves_open(nets: Nets) -> None:
    report = hessay.scan(nets.clean, (nets.inputs, nets.targets))
    assert report.verdict is Verdict.CLEAN
    assert report.flagged_class is None
    assert report.trigger_direction is None
    assert any("all-to-all" in line for line in report.not_excluded)
    assert report.probe.accuracy is not None
    assert report.probe.accuracy > 0.9
    assert Report.from_json(report.to_json()) == report


def test_the_same_seed_gives_the_same_bytes_and_the_model_back(nets: Nets) -> None:
    before = {name: value.clone() for name, value in nets.clean.state_dict().items()}
    state = torch.get_rng_state()
    documents = []
    for seed in (1, 1, 2):
        document = json.loads(hessay.scan(nets.clean, nets.inputs, seed=seed).to_json())
        assert set(document.pop("seconds")) == {"probe", "measure", "tests", "evidence", "spectrum"}
        documents.append(json.dumps(document, sort_keys=True))
    assert documents[0] == documents[1]
    assert documents[0] != documents[2]
    after = nets.clean.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.requires_grad for parameter in nets.clean.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_progress_ends_at_one(nets: Nets) -> None:
    told: list[tuple[str, float]] = []
    hessay.scan(nets.clean, nets.inputs, progress=lambda *args: told.append(args))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert all(phase for phase, _ in told)


def test_the_detector_speaks_scikit_learn(nets: Nets) -> None:
    detector = hessay.Detector(alpha=0.4).fit(siblings(nets.clean, 4), nets.inputs)
    assert detector.reference_statistics_ is not None
    assert detector.reference_statistics_.shape == (4,)
    assert detector.predict([nets.clean, nets.poisoned]).tolist() == [1, -1]
    mute = Around(nets.clean, after=lambda z: torch.softmax(z, dim=1))
    scores = detector.score_samples([nets.clean, nets.poisoned, mute])
    assert scores[0] > scores[1]
    assert np.isnan(scores[2])
    assert detector.predict([mute]).tolist() == [0]
    assert hessay.Detector().fit(None, nets.inputs).predict([nets.poisoned]).tolist() == [-1]
    with pytest.raises(ArgumentError, match="not fitted"):
        hessay.Detector().scan(nets.clean)
    with pytest.raises(ArgumentError, match="alpha"):
        hessay.Detector(alpha=2.0).fit(None, nets.inputs)


# When the answer is INCONCLUSIVE, and which reason it gives.


def one_class(z: Tensor) -> Tensor:
    return z + 1e4 * nn.functional.one_hot(torch.tensor(0), 10)


def never_four(z: Tensor) -> Tensor:
    return z - 1e4 * nn.functional.one_hot(torch.tensor(4), 10)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (lambda z: torch.softmax(z, dim=1), "probabilities"),
        (one_class, "512 of 512 probes are predicted as class 0"),
        (never_four, "no probe is predicted as class 4"),
        (lambda z: 0 * z + 3.0 * (z == z.amax(1, keepdim=True)), "no slope"),
    ],
)
def test_models_the_statistic_cannot_judge(
    nets: Nets, after: Callable[[Tensor], Tensor], words: str
) -> None:
    report = hessay.scan(Around(nets.poisoned, after=after), nets.inputs)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert words in " | ".join(report.reasons)
    assert report.statistic is None
    assert report.flagged_class is None
    assert report.not_excluded


def test_too_few_probes_say_how_many_are_needed(nets: Nets) -> None:
    report = hessay.scan(nets.poisoned, nets.inputs[:3])
    assert report.verdict is Verdict.INCONCLUSIVE
    assert f"3 probes are too few, {probes_needed(10)} are needed" in report.reasons[0]
    enough = hessay.scan(nets.poisoned, nets.inputs[: probes_needed(10)])
    assert enough.verdict is not Verdict.INCONCLUSIVE


def test_wrong_labels_are_a_reason(nets: Nets) -> None:
    report = hessay.scan(nets.clean, (nets.inputs, (nets.targets + 1) % 10))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "near chance" in report.reasons[0]


def test_a_model_the_noise_overthrows_is_a_reason(nets: Nets) -> None:
    def ripple(z: Tensor) -> Tensor:
        return z + 30.0 * torch.sin(40.0 * z)

    report = hessay.scan(Around(nets.clean, after=ripple), nets.inputs)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "least smoothing noise" in report.reasons[0]


def test_a_brittle_model_may_be_flagged_but_not_cleared(nets: Nets) -> None:
    def ripple(z: Tensor) -> Tensor:
        return z + 8.0 * torch.sin(4.0 * z)

    settings = hessay.scan(nets.clean, nets.inputs).settings
    # At a level nobody uses nothing is flagged, and the caveat is all that is left.
    report = hessay.scan(Around(nets.clean, after=ripple), nets.inputs, alpha=1e-12)
    alarm = hessay.scan(Around(nets.poisoned, after=ripple), nets.inputs, alpha=0.5)
    assert report.settings["noise"] < 0.3 * settings["noise"]  # type: ignore[operator]
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "no clearance" in report.reasons[0]
    assert alarm.settings["noise"] < settings["noise"]  # type: ignore[operator]
    assert alarm.verdict is Verdict.FLAGGED


def test_a_model_that_needs_half_the_noise_is_judged_by_the_law_of_soft_ones(nets: Nets) -> None:
    def ripple(z: Tensor) -> Tensor:
        return z + 8.0 * torch.sin(2.5 * z)

    usual = hessay.scan(nets.clean, nets.inputs).settings["noise"]
    report = hessay.scan(Around(nets.clean, after=ripple), nets.inputs, alpha=1e-12)
    assert report.settings["noise"] == pytest.approx(0.5 * usual)  # type: ignore[operator]
    assert report.settings["kind"] == "soft"
    assert report.verdict is Verdict.CLEAN


def leaning(nets: Nets, base: nn.Module, c: int, times: float) -> nn.Module:
    """Raise the logit of class c until it is predicted that many times as often as it is labelled."""
    labelled = int((nets.targets == c).sum())
    with torch.no_grad():
        logits = base(nets.inputs)
    gaps, _ = (logits.amax(dim=1) - logits[:, c]).sort()
    offset = float(gaps[int(times * labelled)]) * torch.eye(10)[c]
    return Around(base, after=lambda z: z + offset)


def test_leaning_towards_a_class_explains_an_alarm(nets: Nets) -> None:
    data = (nets.inputs, nets.targets)
    leans = leaning(nets, nets.clean, 6, 2.3)
    report = hessay.scan(leans, data, alpha=0.5)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert f"as class 6, and {int((nets.targets == 6).sum())} are labelled so" in report.reasons[0]
    assert "stands out" not in report.reasons[0]
    for given in (report, None):  # nor is it suspicious to what ranks samples or repairs
        suspects = find_suspects(leans, data, report=given, classes=[6, 7])
        assert suspects[0].p_value > 0.5
        assert suspects[0].log_ratio == pytest.approx(report.classes[6].log_ratio)
        assert suspects[1].p_value <= 1.0
    # Without labels nothing tells that it leans, and up to twice is within what backdoors do.
    for model, probe in ((leans, nets.inputs), (leaning(nets, nets.clean, 6, 1.7), data)):
        report = hessay.scan(model, probe, alpha=0.5)
        assert (report.verdict, report.flagged_class) == (Verdict.FLAGGED, 6)
    # Another class that stands out is not explained.
    assert hessay.scan(nets.poisoned, data).verdict is Verdict.FLAGGED


def test_leaning_explains_no_more_than_its_part_of_an_alarm(nets: Nets) -> None:
    data = (nets.inputs, nets.targets)
    leans = leaning(nets, nets.poisoned, TARGET, 2.3)
    report = hessay.scan(leans, data)
    assert (report.verdict, report.flagged_class) == (Verdict.FLAGGED, TARGET)
    assert report.statistic is not None
    assert report.threshold is not None
    count = int((leans(nets.inputs).argmax(dim=1) == TARGET).sum())
    left = report.statistic - np.log(count / int((nets.targets == TARGET).sum()))
    assert (
        f"leaves {left:.3f} of log(reach / usual), threshold {report.threshold:.3f}"
        in report.reasons[0]
    )
    (alone,) = find_suspects(leans, data)
    (told,) = find_suspects(leans, data, report=report)
    assert (alone.index, told.index) == (TARGET, TARGET)
    # Without the report the leaning counts, once it is flagged it does not.
    assert told.p_value < alone.p_value < 0.01


@pytest.mark.parametrize("module", [nn.Dropout(0.2), nn.BatchNorm1d(64)])
def test_modules_in_training_mode_are_a_reason(nets: Nets, module: nn.Module) -> None:
    model = nn.Sequential(nn.Flatten(), module, nets.clean).eval()
    assert hessay.scan(model, nets.inputs).verdict is not Verdict.INCONCLUSIVE
    module.train()
    report = hessay.scan(model, nets.inputs)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "training mode (1)" in report.reasons[0]
    assert module.training


# Bad input.


class Refuses(nn.Module):
    def forward(self, _: Tensor) -> Tensor:
        raise ZeroDivisionError("three over nought")


def test_bad_models_raise_and_name_the_reason(nets: Nets) -> None:
    noisy = Around(nets.clean, before=lambda x: x + 0.1 * torch.randn_like(x))
    batched = Around(nets.clean, before=lambda x: x - x.mean(dim=0))
    broken = training.build_architecture(ARCH)
    with torch.no_grad():
        next(broken.parameters())[0, 40] = math.nan
    for model, error, words in (
        (Refuses(), ModelError, "ZeroDivisionError"),
        (noisy, ModelError, "not deterministic"),
        (batched, ModelError, "normalisation over the batch"),
        (broken, NonFinite, "of 512 probes"),
        (training.build_architecture("mlp:30-10"), ModelError, r"shape \(512, 8, 8\)"),
    ):
        with pytest.raises(error, match=words):
            hessay.scan(model, nets.inputs)


def test_bad_arguments_raise_and_say_what_to_do(nets: Nets) -> None:
    for alpha in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(ArgumentError, match="alpha"):
            hessay.scan(nets.clean, nets.inputs, alpha=alpha)
    with pytest.raises(ArgumentError, match="seed"):
        hessay.scan(nets.clean, nets.inputs, seed=-1)
    with pytest.raises(ArgumentError, match="0 reference models are too few"):
        hessay.scan(nets.clean, nets.inputs, references=[])
    with pytest.raises(ArgumentError, match="holdout"):
        hessay.scan(nets.clean, nets.inputs, references="train")
    with pytest.raises(ArgumentError, match='references="train"'):
        hessay.scan(nets.clean, nets.inputs, holdout=nets.inputs)
    mute = Around(nets.clean, after=one_class)
    with pytest.raises(ArgumentError, match="reference model 1 cannot be used"):
        hessay.scan(nets.clean, nets.inputs, references=[nets.clean, mute])
    with pytest.raises(ProbeError, match="target 12"):
        hessay.scan(nets.clean, (nets.inputs, nets.targets + 3))


def test_more_class_pairs_than_memory_allows_are_named() -> None:
    (reason,) = too_large(1000, 3 * 224 * 224)
    assert "1000 classes of 150528 inputs each need 9.0 GiB" in reason
    assert too_large(10, 3 * 224 * 224) == ()


def test_large_inputs_get_a_spectrum_over_fewer_probes(
    nets: Nets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectrum_summary, "MAX_FACTOR_NUMBERS", 100 * 10 * 64)
    spectrum = hessay.scan(nets.clean, (nets.inputs, nets.targets)).spectrum
    assert spectrum is not None
    assert "over 100 of the probes" in spectrum.method
