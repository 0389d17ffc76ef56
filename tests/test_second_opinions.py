"""Second opinions: one interface, honest about what each needs, reproducible, and harmless."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from detection import SEED, TARGET, Nets
from hessay import attacks, training
from hessay.errors import ArgumentError, ModelError, NonFinite, ProbeError, ShapeError
from hessay.hessian import frozen
from hessay.hessian.model.representation import representations
from hessay.loading import build_architecture
from hessay.probe import Probe
from hessay.second_opinions import OPINIONS, second_opinion
from small_nets import D, points, small_nets

N_CLASSES = 4


@pytest.fixture(scope="module")
def poisoned() -> attacks.Poisoned:
    """What the poisoned net of the fixture ``nets`` was trained on."""
    data = training.load_dataset("digits", seed=SEED)
    return attacks.poison(
        data.train_inputs,
        data.train_targets,
        attack="blend",
        target=TARGET,
        fraction=0.1,
        seed=SEED,
    )


def labelled(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    return points(n, seed).float(), torch.arange(n) % N_CLASSES


def net() -> nn.Module:
    return small_nets(N_CLASSES, SEED)["relu"].float()


@pytest.mark.parametrize("name", OPINIONS)
def test_an_opinion_has_the_shapes_it_promises_and_repeats_itself(
    name: str, nets: Nets, poisoned: attacks.Poisoned
) -> None:
    probe, data = Probe(nets.inputs), Probe(poisoned.inputs, poisoned.targets)
    said = second_opinion(name, nets.poisoned, probe, data, seed=5)
    again = second_opinion(name, nets.poisoned, probe, data, seed=5)
    assert said.name == name
    assert said.class_scores.shape == (10,)
    assert said.suspect == int(np.nanargmax(said.class_scores))
    assert said.score is not None
    assert np.isfinite(said.score)
    assert (said.sample_scores is not None) == OPINIONS[name].needs_data
    for one, other in (
        (said.class_scores, again.class_scores),
        (said.sample_scores, again.sample_scores),
        (said.sample_flags, again.sample_flags),
    ):
        assert one is None or np.array_equal(one, other, equal_nan=True)
    if said.sample_scores is not None:
        assert said.sample_scores.shape == (len(poisoned.inputs),)


@pytest.mark.parametrize("name", ["spectral-signatures", "activation-clustering"])
def test_rows_apart_from_the_rest_of_their_label_are_found(name: str) -> None:
    inputs, targets = labelled(400)
    few = torch.nonzero(targets == 2).flatten()[:15]
    inputs[few] = 0.1 * inputs[few] + 20.0 * torch.eye(D)[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        plain = nn.Sequential(nn.Linear(D, 2 * D), nn.Linear(2 * D, N_CLASSES))
    said = second_opinion(name, plain, inputs, (inputs, targets))
    assert said.suspect == 2
    assert said.sample_scores is not None
    assert {*np.argsort(-said.sample_scores)[:15]} == {*few.tolist()}
    # The hidden layer is wider than the input, and in single precision: components that are only
    # rounding must not be whitened, or they drown the cluster.
    if said.sample_flags is not None:
        assert {*np.flatnonzero(said.sample_flags)} == {*few.tolist()}


def test_spectral_scores_follow_their_rows() -> None:
    inputs, targets = labelled(200)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(SEED))
    straight, turned = (
        second_opinion("spectral-signatures", net(), inputs, data).sample_scores
        for data in ((inputs, targets), (inputs[order], targets[order]))
    )
    assert straight is not None
    # Representations are in single precision, and batches round alike: sums differ at 1e-15.
    np.testing.assert_allclose(turned, straight[order], rtol=1e-5, atol=1e-9)


def test_triggered_inputs_keep_a_low_entropy(nets: Nets) -> None:
    half = len(nets.inputs) // 2
    probe, fresh = Probe(nets.inputs[:half]), nets.inputs[half:]
    other = fresh[nets.targets[half:] != TARGET]
    clean = second_opinion("strip", nets.poisoned, probe, fresh)
    bad = second_opinion("strip", nets.poisoned, probe, nets.trigger.apply(other))
    # A fair probe: 1 % of 256 others below a quantile of 256 probes, 0.9 % of standard deviation.
    assert clean.score is not None
    assert clean.score < 0.01 + 4 * 0.009
    assert clean.sample_scores is not None
    assert bad.sample_scores is not None
    above = (bad.sample_scores[:, None] > clean.sample_scores).mean()
    assert above > 0.5 + 4 * 0.026  # of chance, with 220 and 256 rows
    assert (
        int(np.nanargmax(np.where(np.isnan(bad.class_scores), 0, bad.class_scores))) == bad.suspect
    )


def test_trigger_inversion_names_the_target(nets: Nets) -> None:
    assert second_opinion("neural-cleanse", nets.poisoned, Probe(nets.inputs)).suspect == TARGET


@pytest.mark.parametrize("name", OPINIONS)
def test_the_model_is_left_as_it_was(name: str) -> None:
    model = net().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    second_opinion(name, model, points(40, 1).float(), labelled(120))
    assert all(module.training for module in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_every_row_of_a_loader_is_judged_in_its_order() -> None:
    inputs, targets = labelled(700)
    model, probe = net(), points(40, 1).float()
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=64)
    from_loader = second_opinion("spectral-signatures", model, probe, loader)
    whole = second_opinion("spectral-signatures", model, probe, (inputs, targets))
    assert from_loader.sample_scores is not None
    assert whole.sample_scores is not None
    np.testing.assert_array_equal(from_loader.sample_scores, whole.sample_scores)
    dataset = TensorDataset(inputs, targets)  # has no __iter__
    rows = second_opinion("spectral-signatures", model, probe, dataset).sample_scores
    assert rows is not None
    np.testing.assert_array_equal(rows, whole.sample_scores)


def test_a_shuffled_loader_is_refused_since_scores_would_belong_to_no_row() -> None:
    loader = DataLoader(TensorDataset(*labelled(200)), batch_size=64, shuffle=True)
    with pytest.raises(ProbeError, match="shuffling"):
        second_opinion("spectral-signatures", net(), points(40, 1).float(), loader)


@pytest.mark.parametrize("name", [name for name, o in OPINIONS.items() if o.needs_data])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(ArgumentError, match=r"pass data="):
        second_opinion(name, net(), points(40, 1).float())
    if OPINIONS[name].needs_targets:
        with pytest.raises(ProbeError, match="no labels"):
            second_opinion(name, net(), points(40, 1).float(), labelled(60)[0])
        with pytest.raises(ProbeError, match="classes 0 to 3"):
            second_opinion(name, net(), points(40, 1).float(), (points(5, 2), torch.arange(5)))


def test_bad_arguments_are_errors() -> None:
    with pytest.raises(ArgumentError, match="got 'abs'"):
        second_opinion("abs", net(), points(40, 1))
    with pytest.raises(ArgumentError, match="seed"):
        second_opinion("neural-cleanse", net(), points(40, 1), seed=-1)
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        second_opinion("strip", net(), points(40, 1), torch.rand(9, 3))
    with pytest.raises(ModelError, match="2"):
        second_opinion("spectral-signatures", net(), points(40, 1), (torch.rand(9, 3), [1] * 9))


def test_two_classes_have_no_outlier() -> None:
    said = second_opinion("neural-cleanse", small_nets(2, SEED)["relu"], points(40, 1))
    assert said.score is None
    assert said.suspect is None


def test_a_label_without_samples_has_no_score() -> None:
    inputs, targets = labelled(120)
    for name in ("spectral-signatures", "activation-clustering"):
        said = second_opinion(name, net(), inputs, (inputs, targets.clamp(max=2)))
        assert np.isnan(said.class_scores).tolist() == [False, False, False, True]


class FunctionalHead(nn.Module):
    """Ends in a plain function, on unit vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(D, 5).double()
        self.weight = nn.Parameter(torch.randn(3, 5, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(nn.functional.normalize(self.body(x)), self.weight)


@pytest.mark.parametrize("kind", [*small_nets(3, SEED), "functional", "registered cnn"])
def test_the_last_layer_makes_the_logits_from_the_representation(kind: str) -> None:
    x = points(30, 3)
    if kind == "functional":
        model: nn.Module = FunctionalHead()
        weight, bias = model.weight, torch.zeros(3)
    else:
        if kind == "registered cnn":
            model, x = build_architecture("cnn:1x8x8-10").double(), x.repeat(1, 11)[:, :64]
        else:
            model = small_nets(3, SEED)[kind]
        last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        weight, bias = last.weight, last.bias
    with frozen(model):
        found = representations(model, x)
        assert found.n_classes == len(weight)
        np.testing.assert_allclose(found.values @ weight.T + bias, model(x), atol=1e-12)


def test_a_network_without_a_final_linear_layer_is_named() -> None:
    convolutional = nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    with pytest.raises(ModelError, match="no linear layer"):
        representations(convolutional.double(), points(5, 4))
    gated = nn.Sequential(
        nn.Linear(D, D), nn.Unflatten(1, (3, 2)), nn.Flatten(), nn.Bilinear(D, D, 3)
    )
    gated[3].forward = lambda x: x[:, :3]  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="last linear layer to run"):
        representations(gated.double(), points(5, 4))


def test_a_representation_that_is_not_finite_is_named() -> None:
    model = nn.Sequential(nn.Linear(D, 4), nn.Linear(4, 3)).double()
    with torch.no_grad():
        model[0].bias[0] = float("inf")
    with pytest.raises(NonFinite, match="5 of 5"):
        representations(model, points(5, 4))
