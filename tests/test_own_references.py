"""References of the scanned model's own architecture: nothing of the model itself is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessay
from detection import SEED, TARGET, Nets
from hessay.errors import ArgumentError, ModelError
from hessay.reference_models import ReferenceModels, own_architecture
from hessay.references import train_references
from hessay.training import load_dataset
from hessay.untrained import untrained
from hessay.verdict import Verdict


class Mixed(nn.Module):
    """Layers with an initialiser of their own, running statistics, and a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(6, 4))
        self.norm = nn.BatchNorm1d(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, 6, 4) + self.position
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        logits: Tensor = self.head(self.attention(x, x, x, need_weights=False)[0].mean(dim=1))
        return logits


def trained(seed: int) -> Mixed:
    torch.manual_seed(seed)
    model = Mixed()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
        model.norm.running_mean += 3.0
    return model.eval()


def test_nothing_of_the_weights_survives_but_the_values_of_bare_parameters() -> None:
    first, second = trained(1), trained(2)
    a, b = untrained(first, seed=5).state_dict(), untrained(second, seed=5).state_dict()
    for name, value in a.items():
        if name == "position":
            assert torch.equal(value.flatten().sort()[0], first.position.flatten().sort()[0])
            assert not torch.equal(value, first.position)
        else:
            assert torch.equal(value, b[name]), name


def test_the_model_and_the_global_random_state_are_left_alone() -> None:
    model = trained(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    fresh = untrained(model.requires_grad_(False), seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(p.requires_grad for p in model.parameters())
    assert all(p.requires_grad for p in fresh.parameters())


def test_half_precision_is_trained_in_single() -> None:
    fresh = untrained(nn.Sequential(nn.Linear(3, 2)).half(), seed=0)
    assert {p.dtype for p in fresh.parameters()} == {torch.float32}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_that_cannot_be_made_anew_is_named() -> None:
    with pytest.raises(ArgumentError, match="no floating-point parameters"):
        untrained(nn.Sequential(nn.Flatten()), seed=0)
    with pytest.raises(ArgumentError, match="scripted"):
        untrained(torch.jit.trace(nn.Linear(3, 2), torch.zeros(1, 3)), seed=0)


@pytest.fixture(scope="module")
def holdout() -> tuple[Tensor, Tensor]:
    data = load_dataset("digits", seed=SEED + 1)
    return data.train_inputs[:500], data.train_targets[:500]


@pytest.fixture(scope="module")
def references(nets: Nets, holdout: tuple[Tensor, Tensor]) -> ReferenceModels:
    return train_references(holdout, like=nets.poisoned, n=4, epochs=60)


def test_references_like_a_poisoned_model_find_it_and_clear_a_clean_one(
    nets: Nets, references: ReferenceModels
) -> None:
    assert references.architectures == (own_architecture(nets.clean),) * 4
    probe = hessay.Probe(nets.inputs, nets.targets)
    clean = hessay.scan(nets.clean, probe, references=references)
    assert clean.verdict is Verdict.CLEAN
    flagged = hessay.scan(nets.poisoned, probe, references=references)
    assert flagged.verdict is Verdict.FLAGGED
    assert flagged.flagged_class == TARGET
    assert flagged.settings["references_own_architecture"] is True
    assert "of its own architecture" in flagged.reasons[0]


def test_a_scan_trains_references_of_the_models_own_architecture(nets: Nets) -> None:
    probe = hessay.Probe(nets.inputs, nets.targets)
    data = load_dataset("digits", seed=SEED + 1)
    rows = (data.train_inputs[:300], data.train_targets[:300])
    report = hessay.scan(nets.poisoned, probe, references="own", holdout=rows)
    assert report.settings["references_own_architecture"] is True
    assert report.settings["references"] == 8
    assert report.flagged_class == TARGET


def test_a_file_of_them_needs_a_model_of_that_architecture(
    nets: Nets, references: ReferenceModels, tmp_path: Path
) -> None:
    path = tmp_path / "own.safetensors"
    references.save(path)
    loaded = ReferenceModels.load(path, nets.clean)
    x = (
        torch.from_numpy(np.asarray(nets.inputs))
        if not isinstance(nets.inputs, Tensor)
        else nets.inputs
    )
    for model, restored in zip(references, loaded, strict=True):
        with torch.no_grad():
            assert torch.equal(model(x), restored(x))
    with pytest.raises(ArgumentError, match="like="):
        ReferenceModels.load(path)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(ArgumentError, match="another architecture"):
        hessay.scan(other, hessay.Probe(nets.inputs), references=path)


def test_a_model_of_another_task_is_refused(holdout: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ArgumentError, match="has 3 classes"):
        train_references(holdout, like=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    with pytest.raises(ModelError):
        train_references(holdout, like=nn.Sequential(nn.Flatten(), nn.Linear(63, 10)))
