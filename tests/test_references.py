"""Reference networks a user trains, their file, and scans that use them."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import hessay
from detection import ARCH, SEED, TARGET, Nets
from hessay.errors import ArgumentError, ProbeError, UntrustedFile
from hessay.reference_models import ReferenceModels, architectures_for
from hessay.references import train_references
from hessay.training import load_dataset, train_classifier
from hessay.verdict import Verdict


@pytest.fixture(scope="module")
def references() -> ReferenceModels:
    data = load_dataset("digits", seed=SEED + 1)
    return train_references((data.train_inputs[:500], data.train_targets[:500]), n=4, epochs=60)


def test_references_are_trained_alike_from_a_seed_and_survive_their_file(
    references: ReferenceModels, tmp_path: Path
) -> None:
    data = load_dataset("digits", seed=SEED + 1)
    holdout = (data.train_inputs[:500], data.train_targets[:500])
    again = train_references(holdout, n=4, epochs=60)
    references.save(tmp_path / "r.safetensors")
    loaded = ReferenceModels.load(tmp_path / "r.safetensors")
    assert loaded.architectures == references.architectures
    assert loaded.accuracy == references.accuracy
    assert loaded.holdout_digest == hessay.Probe(*holdout).digest
    assert len(set(references.architectures)) == 4
    for model, repeated, restored in zip(references, again, loaded, strict=True):
        with torch.no_grad():
            expected = model(data.test_inputs)
            assert torch.equal(repeated(data.test_inputs), expected)
            assert torch.equal(restored(data.test_inputs), expected)
    assert not list(tmp_path.glob("*.part"))


def test_a_scan_with_references_compares_classes_with_themselves(
    nets: Nets, references: ReferenceModels
) -> None:
    probe = hessay.Probe(nets.inputs, nets.targets)
    clean = hessay.scan(nets.clean, probe, references=references)
    assert clean.verdict is Verdict.CLEAN
    flagged = hessay.scan(nets.poisoned, probe, references=references)
    assert flagged.verdict is Verdict.FLAGGED
    assert flagged.flagged_class == TARGET
    (deciding, *_) = flagged.evidence
    assert deciding.name == "class_profile"
    assert deciding.decides
    assert flagged.settings["references"] == 4
    # Other architectures: ranks among them are no p-value, even where alpha would allow it.
    loose = hessay.scan(nets.clean, probe, references=references, alpha=0.3)
    assert {item.name for item in loose.evidence if item.decides} == {
        "class_profile",
        "class_map_excess",
        "warp_reach",
    }


@pytest.fixture(scope="module")
def alike() -> list[torch.nn.Module]:
    data = load_dataset("digits", seed=SEED)
    rows, labels = data.train_inputs, data.train_targets
    return [train_classifier(ARCH, rows, labels, epochs=40, seed=s) for s in range(1, 8)]


def test_models_trained_alike_are_ranked_and_others_are_not(
    nets: Nets, alike: list[torch.nn.Module]
) -> None:
    probe = hessay.Probe(nets.inputs, nets.targets)
    ranked = hessay.scan(nets.poisoned, probe, references=alike, alpha=0.125)
    assert ranked.verdict is Verdict.FLAGGED
    assert ranked.flagged_class == TARGET
    assert ranked.evidence[0].name == "reference_rank"
    assert ranked.p_value == pytest.approx(1 / 8)
    # Seven references resolve no smaller level: the fitted law takes over.
    strict = hessay.scan(nets.poisoned, probe, references=alike, alpha=0.01)
    assert strict.evidence[0].name == "class_profile"
    assert strict.verdict is Verdict.FLAGGED
    louder = torch.nn.Sequential(nets.poisoned, Times(1e3))
    unlike = hessay.scan(louder, probe, references=alike, alpha=0.125)
    assert unlike.evidence[0].name == "class_profile"
    assert any("not trained as the references were" in reason for reason in unlike.reasons)


class Times(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


def test_a_poisoned_reference_is_named(nets: Nets, alike: list[torch.nn.Module]) -> None:
    report = hessay.scan(nets.clean, nets.inputs, references=[*alike, nets.poisoned])
    assert any("reference model 7 stands out" in reason for reason in report.reasons)


def test_architectures_follow_the_inputs() -> None:
    assert all(name.startswith("mlp:30-") for name in architectures_for((30,), 3))
    assert all(
        name.endswith(("-7", "-7:gelu", "-7:tanh")) for name in architectures_for((16, 16), 7)
    )
    assert sum(name.startswith("cnn:3x32x32-") for name in architectures_for((3, 32, 32), 7)) == 4
    assert all(name.startswith("mlp:") for name in architectures_for((3, 224, 224), 7))


def test_holdouts_that_teach_nothing_are_refused() -> None:
    rng = np.random.default_rng(SEED)
    noise = rng.random((300, 6)).astype(np.float32)
    with pytest.raises(ProbeError, match="near chance"):
        train_references((noise, rng.integers(0, 3, 300)), n=2, epochs=2)
    with pytest.raises(ProbeError, match="labels"):
        train_references(noise)
    with pytest.raises(ProbeError, match="class 1 has 5 rows"):
        train_references((noise, (np.arange(300) >= 295).astype(int)))
    with pytest.raises(ArgumentError, match="n must be"):
        train_references((noise, rng.integers(0, 3, 300)), n=1)


def test_files_that_lie_are_refused(references: ReferenceModels, tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    references.save(path)
    tensors = load_file(path)
    described = {
        "architectures": ["os:system"] * 4,
        "accuracy": [1.0] * 4,
        "holdout_digest": "",
        "input_shape": [8, 8],
        "n_classes": 10,
        "seed": 0,
    }

    def written(text: str, kept: dict[str, torch.Tensor]) -> Path:
        save_file(kept, path, {"format": "hessay.references/1", "references": text})
        return path

    with pytest.raises(UntrustedFile, match="none of the reference"):
        ReferenceModels.load(written(json.dumps(described), tensors))
    names = list(references.architectures)
    fitting = json.dumps({**described, "architectures": names})
    first, *_ = tensors
    for kept, words in (
        ({k: v for k, v in tensors.items() if k != first}, "do not fit"),
        ({**tensors, "9/x": torch.ones(1)}, "belong to no network"),
        ({**tensors, first: tensors[first] * float("nan")}, "NaN"),
    ):
        with pytest.raises(UntrustedFile, match=words):
            ReferenceModels.load(written(fitting, kept))
    for text in ("[]", "{", "{}", "[" * 100_000):
        with pytest.raises(UntrustedFile):
            ReferenceModels.load(written(text, tensors))
    save_file(tensors, path)
    with pytest.raises(UntrustedFile, match="no reference models"):
        ReferenceModels.load(path)
    with pytest.raises(UntrustedFile, match="not a file"):
        ReferenceModels.load(tmp_path / "absent")


def test_a_model_does_not_vouch_for_itself(nets: Nets, alike: list[torch.nn.Module]) -> None:
    probe = hessay.Probe(nets.inputs, nets.targets)
    itself = hessay.scan(alike[2], probe, references=alike)
    assert itself.verdict is Verdict.INCONCLUSIVE
    assert any("its own reference model 2" in reason for reason in itself.reasons)
    left_out = hessay.scan(alike[2], probe, references=[*alike[:2], *alike[3:]])
    assert left_out.verdict is Verdict.CLEAN
    with pytest.raises(ArgumentError, match="reference models 1 and 7 are the same model"):
        hessay.scan(nets.clean, probe, references=[*alike, copy.deepcopy(alike[1])])
