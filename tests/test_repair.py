"""Repair: the algebra of each patch against plain float64, and what a repair may and may not do."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import hessay
from detection import ARCH, TARGET, Around, Nets
from hessay import attacks, training
from hessay.errors import ArgumentError, ModelError, ProbeError, ShapeError
from hessay.repairing import Repair
from hessay.repairing.covariance import RIDGE, CleanCovariance, independent
from hessay.repairing.layer_edit import RIDGE as EDIT_RIDGE
from hessay.repairing.layer_edit import editable_layers, fit_edits
from hessay.repairing.patches import MaskPatch, ObliquePatch, folded
from hessay.repairing.steps import Steps

SEED = 20240701
EPS = np.finfo(np.float64).eps


@pytest.fixture(scope="module")
def repaired(nets: Nets) -> Repair:
    return hessay.repair(nets.poisoned, (nets.inputs, nets.targets), max_accuracy_loss=0.02)


def oblique(model: nn.Module, d: int, k: int = 2) -> ObliquePatch:
    rng = np.random.default_rng(SEED)
    covariance = CleanCovariance.of(rng.standard_normal((50, d)))
    basis = independent(rng.standard_normal((k, d)))
    parts = (basis, covariance.filters(basis), covariance.mean)
    return ObliquePatch(model, *(torch.from_numpy(part).float() for part in parts)).eval()


# ---- the algebra ----


@pytest.mark.parametrize(("n", "d"), [(40, 7), (7, 40)])
def test_filters_are_those_of_the_dense_inverse(n: int, d: int) -> None:
    rng = np.random.default_rng(SEED)
    inputs = rng.standard_normal((n, d)) * rng.uniform(0.5, 2.0, d)
    basis = independent(rng.standard_normal((3, d)))
    got = CleanCovariance.of(inputs).filters(basis)
    sigma = np.cov(inputs.T, bias=True)
    inverse = np.linalg.inv(sigma + RIDGE * np.trace(sigma) / d * np.eye(d))
    wanted = inverse @ basis @ np.linalg.inv(basis.T @ inverse @ basis)
    # Condition of Sigma + lam I times eps, for two solves and a product of d terms.
    room = 100 * d * EPS * np.linalg.cond(inverse)
    np.testing.assert_allclose(got, wanted, atol=room * np.abs(wanted).max())
    np.testing.assert_allclose(got.T @ basis, np.eye(3), atol=room)


def test_an_oblique_patch_forgets_its_directions_and_keeps_the_mean() -> None:
    patch = oblique(nn.Identity(), 12).double()
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(SEED)).double()
    along = torch.tensor([[2.0, -3.0]], dtype=torch.float64) @ patch.basis.T
    # Buffers were rounded to float32, so F'B = I holds to its eps.
    torch.testing.assert_close(patch(x + along), patch(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(patch(patch(x)), patch(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(patch(patch.centre[None]), patch.centre[None], atol=0, rtol=0)


def test_independent_drops_repeated_and_zero_rows() -> None:
    rows = np.array([[1.0, 0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 0], [1.0, 1.0, 0, 0]])
    basis = independent(rows)
    assert basis.shape == (4, 2)
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=10 * EPS)
    np.testing.assert_allclose(basis @ (basis.T @ rows.T), rows.T, atol=10 * EPS)


def test_folding_is_exact_where_a_linear_layer_reads_the_input_and_is_not_tried_elsewhere() -> None:
    x = torch.rand(30, 8, 8, generator=torch.Generator().manual_seed(SEED))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        mlp, cnn = (
            hessay.loading.build_mlp([64, 16, 10]),
            hessay.loading.build_cnn([1, 8, 8], [4, 8, 10]),
        )
    with torch.no_grad():
        patch = oblique(mlp.eval(), 64)
        inside = folded(patch, x)
        assert inside is not None
        torch.testing.assert_close(inside(3 * x), patch(3 * x), atol=1e-5, rtol=1e-5)
        assert folded(oblique(cnn.eval(), 64), x) is None
        # The layer reads the input, but so does the sum: folding would change something else.
        beside = Around(mlp, after=lambda z: z)
        beside.forward = lambda v: mlp(v) + v.flatten(1)[:, :10]  # type: ignore[method-assign]
        assert folded(oblique(beside.eval(), 64), x) is None


def test_an_edit_solves_its_ridge_regression() -> None:
    rng = np.random.default_rng(SEED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    net = net.double().eval()
    x, steps = torch.from_numpy(rng.uniform(size=(20, 6))), rng.uniform(-0.3, 0.3, (2, 6))
    assert editable_layers(net, x) == ["0", "2"]
    edits = fit_edits(net, "2", x, Steps.of_shifts(steps).moves((0.0, 1.0)))
    weight = np.c_[net[2].weight.detach(), net[2].bias.detach()]

    def features(v: torch.Tensor) -> np.ndarray:
        h = torch.relu(net[0](v)).detach().numpy()
        return np.c_[h, np.ones(len(h))]

    clean = features(x)
    moved = [features((x + torch.from_numpy(s)).clamp(0, 1)) for s in steps]
    # As one stacked least-squares problem instead of normal equations.
    ridge = EDIT_RIDGE * np.square(clean).sum() / clean.shape[1]
    left = np.vstack([clean, *(m / 2**0.5 for m in moved), ridge**0.5 * np.eye(6)])
    right = np.vstack(
        [0 * clean @ weight.T, *((clean - m) @ weight.T / 2**0.5 for m in moved), np.zeros((6, 4))]
    )
    wanted = np.linalg.lstsq(left, right, rcond=None)[0].T
    room = 100 * EPS * np.linalg.cond(left) ** 2  # the normal equations square the condition
    np.testing.assert_allclose(edits.whole, wanted, atol=room * np.abs(wanted).max())
    changed = edits.apply(0.5)
    got = np.c_[changed[2].weight.detach(), changed[2].bias.detach()]
    np.testing.assert_allclose(got, weight + 0.5 * edits.whole, atol=10 * EPS)
    # The half fits have not seen the other half: changing it changes nothing.
    other = x.clone()
    other[1::2] = 0.5
    again = fit_edits(net, "2", other, Steps.of_shifts(steps).moves((0.0, 1.0)))
    np.testing.assert_array_equal(again.halves[0], edits.halves[0])
    assert not np.allclose(again.whole, edits.whole)


def test_a_mask_shows_the_clean_mean_where_it_hides() -> None:
    masked = torch.tensor([True, False, False, True])
    patch = MaskPatch(nn.Identity(), masked, torch.tensor([9.0, 9, 9, 8]))
    shown = patch(torch.arange(8.0).reshape(2, 2, 2))
    assert shown.tolist() == [[[9, 1], [2, 8]], [[9, 5], [6, 8]]]


# ---- what a repair does ----


def test_a_repair_closes_the_backdoor_and_keeps_the_accuracy(nets: Nets, repaired: Repair) -> None:
    assert repaired.accepted
    assert repaired.classes[0] == TARGET

    def success(model: nn.Module) -> float:
        return attacks.attack_success_rate(model, nets.inputs, nets.targets, nets.trigger, TARGET)

    assert success(nets.poisoned) > 0.9
    assert success(repaired.model) < 0.2
    assert repaired.after.danger < repaired.before.danger
    assert repaired.after.accuracy >= repaired.before.accuracy - 0.02
    measured = training.accuracy(repaired.model, nets.inputs, nets.targets)
    assert measured == pytest.approx(repaired.after.accuracy)


def test_the_original_is_not_changed_and_the_repaired_model_stands_alone(
    nets: Nets, repaired: Repair
) -> None:
    assert repaired.digest == hessay.loading.model_digest(nets.poisoned)
    assert repaired.form == "weights"  # an MLP takes every patch that lowers its flips
    own = {p.data_ptr() for p in repaired.model.parameters()}
    assert own.isdisjoint(p.data_ptr() for p in nets.poisoned.parameters())
    copied = copy.deepcopy(repaired.model)
    assert torch.equal(copied(nets.inputs), repaired.model(nets.inputs))


def test_every_candidate_is_listed_and_only_those_that_qualify_can_be_chosen(
    repaired: Repair,
) -> None:
    chosen = [c for c in repaired.candidates if c.method == repaired.method and c.qualifies]
    assert len(chosen) == 1
    assert chosen[0].condition.danger == min(
        c.condition.danger for c in repaired.candidates if c.qualifies
    )


def test_no_patch_for_free_is_a_refusal_that_returns_the_model_itself(nets: Nets) -> None:
    found = hessay.repair(nets.poisoned, nets.inputs[:300], max_accuracy_loss=0.0)
    assert found.measure == "agreement"
    assert found.before.accuracy == 1.0
    if not found.accepted:
        assert found.model is nets.poisoned
        assert found.method == "none"
        assert "with targets" in found.reason
        with pytest.raises(ArgumentError, match="refused"):
            found.save("never.safetensors")
    for candidate in found.candidates:
        assert not candidate.qualifies or candidate.condition.accuracy == 1.0


def test_suspects_decide_where_there_are_some(nets: Nets) -> None:
    others = nets.inputs[nets.targets != TARGET]
    marked = nets.trigger.apply(others[:60])
    probe = (nets.inputs, nets.targets)
    found = hessay.repair(nets.poisoned, probe, suspects=marked, max_accuracy_loss=0.02)
    assert found.before.suspects_rate is not None
    assert found.before.suspects_rate > 0.9
    assert found.after.suspects_rate is not None
    assert found.after.suspects_rate < 0.2
    predicted = found.model(marked).argmax(dim=1)
    assert found.after.suspects_rate == pytest.approx(float((predicted == TARGET).double().mean()))
    assert {"oblique on suspects", "mask on suspects"} <= {c.method for c in found.candidates}


# ---- bad input ----


@pytest.mark.parametrize("loss", [-0.01, 1.0, float("nan")])
def test_a_loss_that_is_no_share_is_refused(nets: Nets, loss: float) -> None:
    with pytest.raises(ArgumentError, match="share of the probe"):
        hessay.repair(nets.poisoned, nets.inputs, max_accuracy_loss=loss)


def test_a_report_of_another_model_is_refused(nets: Nets) -> None:
    report = hessay.scan(nets.clean, nets.inputs)
    with pytest.raises(ArgumentError, match="another model"):
        hessay.repair(nets.poisoned, nets.inputs, report)


def test_a_class_the_model_lacks_and_suspects_of_no_suspicious_class_are_refused(
    nets: Nets,
) -> None:
    with pytest.raises(ArgumentError, match="0 to 9"):
        hessay.repair(nets.poisoned, nets.inputs, classes=[10])
    wrong = (nets.inputs[:9], torch.full((9,), 5))
    with pytest.raises(ArgumentError, match=r"\[5\]"):
        hessay.repair(nets.poisoned, nets.inputs, suspects=wrong, classes=[TARGET])


def test_suspects_and_probes_of_another_shape_are_refused(nets: Nets) -> None:
    with pytest.raises(ShapeError, match=r"\(8, 8\)"):
        hessay.repair(nets.poisoned, nets.inputs, suspects=torch.rand(5, 64))
    with pytest.raises(ModelError, match="shape"):
        hessay.repair(nets.poisoned, torch.rand(100, 9, 9))
    with pytest.raises(ProbeError):
        hessay.repair(nets.poisoned, nets.inputs * float("nan"))


def test_a_model_that_does_not_classify_is_refused(nets: Nets) -> None:
    with pytest.raises(ModelError, match="logits"):
        hessay.repair(Around(nets.poisoned, after=lambda z: z.sum(dim=1)), nets.inputs)
    assert ARCH.startswith("mlp")
    with pytest.raises(ArgumentError, match="not defined"):
        hessay.repair(Around(nets.poisoned, after=lambda z: 0 * z), nets.inputs)
