"""Trigger inversion, the way Neural Cleanse does it, against linear programming and the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from torch import nn

from hessay.errors import ArgumentError, ProbeError, ShapeError
from hessay.hessian import frozen
from hessay.second_opinions import trigger_inversion
from hessay.second_opinions.trigger_inversion import anomaly_index, invert_triggers
from small_nets import D, points, small_nets

SEED = 20240711


def least_mask(model: nn.Linear, x: NDArray[np.float64], c: int) -> float:
    """Least |m|_1 that moves the one input x to class c of a linear model: a linear programme.

    x' = x + up - down,  0 <= up <= 1 - x,  0 <= down <= x;  m = up / (1 - x) + down / x.
    """
    weight, bias = (p.detach().numpy() for p in (model.weight, model.bias))
    others = [k for k in range(len(bias)) if k != c]
    gain = weight[c] - weight[others]
    short = gain @ x + bias[c] - bias[others]
    found = linprog(
        np.concatenate([1 / (1 - x), 1 / x]),
        A_ub=-np.hstack([gain, -gain]),
        b_ub=short,
        bounds=[*((0, v) for v in 1 - x), *((0, v) for v in x)],
    )
    assert found.success
    return float(found.fun)


def test_the_inverted_mask_is_the_least_one_of_a_linear_model() -> None:
    generator = torch.Generator().manual_seed(SEED)
    model = nn.Linear(12, 4).double()
    with torch.no_grad():
        model.weight.copy_(3.0 * torch.randn(4, 12, generator=generator))
        model.bias.zero_()
    x = torch.rand(12, generator=generator, dtype=torch.float64) * 0.6 + 0.2
    # The two ends of the range, once each, so that the pattern may use all of [0, 1].
    inputs = x + 1e-9 * torch.randn(300, 12, generator=generator, dtype=torch.float64)
    inputs[0, 0], inputs[0, 1] = 0.0, 1.0
    with frozen(model):
        found = invert_triggers(model, inputs, steps=1500)
        own = int(model(x[None]).argmax())
    for c in range(4):
        if c == own:
            continue
        least = least_mask(model, x.numpy(), c)
        # No mask is smaller. Above it: the price moves by 5 % a step and Adam circles the edge.
        assert 0.999 * least <= found.norm[c] <= 1.1 * least
        assert found.success[c] >= 0.99


def test_the_reported_patch_does_what_is_reported() -> None:
    model = small_nets(4, SEED)["tanh"]
    inputs = points(60, 5)
    with frozen(model):
        found = invert_triggers(model, inputs, steps=60)
        predicted = model(inputs).argmax(dim=1)
        for c in range(4):
            mask, pattern = torch.from_numpy(found.mask[c]), torch.from_numpy(found.pattern[c])
            arrived = model((1 - mask) * inputs + mask * pattern).argmax(dim=1)
            share = (arrived == c)[predicted != c].double().mean()
            # One of at most 60 probes may sit on the edge, where the sum rounds either way.
            assert abs(float(share) - found.success[c]) < 1.5 / int((predicted != c).sum())
            assert abs(found.mask[c].sum() - found.norm[c]) < 1e-9
    assert found.mask.min() >= 0.0
    assert found.mask.max() <= 1.0
    assert inputs.min() <= found.pattern.min()
    assert found.pattern.max() <= inputs.max()


def test_a_class_that_one_pixel_reaches_is_the_outlier() -> None:
    generator = torch.Generator().manual_seed(SEED)
    model = nn.Linear(40, 8).double()
    with torch.no_grad():
        # Every class listens to five pixels of its own, and class 5 to pixel 25 far more.
        model.weight.copy_(torch.eye(8).repeat_interleave(5, dim=1))
        model.bias.zero_()
        model.weight[5, 25] = 60.0
    inputs = torch.rand(80, 40, generator=generator, dtype=torch.float64)
    inputs[:, 25] = 0.0  # a dead pixel, where triggers hide
    with frozen(model):
        found = invert_triggers(model, inputs)
    index = anomaly_index(found.norm)
    assert int(index.argmax()) == 5
    assert index[5] > 2.0
    assert int(found.mask[5].argmax()) == 25


def test_a_class_that_holds_every_probe_has_no_patch() -> None:
    model = nn.Linear(D, 4).double()
    with torch.no_grad():
        model.bias[1] = 1e3
    with frozen(model):
        found = invert_triggers(model, points(10, 1), steps=3)
    assert np.isnan(found.norm).tolist() == [False, True, False, False]
    assert np.isnan(anomaly_index(found.norm)).tolist() == [False, True, False, False]


def test_classes_do_not_influence_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = small_nets(4, SEED)["tanh"], points(40, 5)
    with frozen(model):
        together = invert_triggers(model, inputs, steps=40)
        monkeypatch.setattr(trigger_inversion, "_PASS_ELEMENTS", 1)
        alone = invert_triggers(model, inputs, steps=40)
    assert alone.passes == 4 * together.passes
    # In double, 40 steps amplify the rounding of batches of another size to 1e-9 at most.
    np.testing.assert_allclose(alone.norm, together.norm, rtol=1e-6)


def test_one_mask_serves_all_channels() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(18, 3)).double()
    inputs = torch.rand(20, 2, 3, 3, dtype=torch.float64)
    with frozen(model):
        found = invert_triggers(model, inputs, steps=5)
    assert found.mask.shape == found.pattern.shape == (3, 2, 3, 3)
    np.testing.assert_array_equal(found.mask[:, 0], found.mask[:, 1])
    np.testing.assert_allclose(found.mask[:, 0].sum(axis=(1, 2)), found.norm)


def test_the_anomaly_index_is_the_textbook_one_and_has_no_unit() -> None:
    norms = np.array([9.0, 10.0, 11.0, 12.0, 2.0])
    # Median 10, deviations 1 0 1 2 8, their median 1.
    np.testing.assert_allclose(anomaly_index(norms), (10.0 - norms) / 1.4826)
    np.testing.assert_allclose(anomaly_index(3.0 * norms + 7.0), anomaly_index(norms))
    assert anomaly_index(np.full(4, 3.3)).tolist() == [0.0] * 4
    with_gap = anomaly_index(np.insert(norms, 2, np.nan))
    np.testing.assert_allclose(np.delete(with_gap, 2), anomaly_index(norms))
    with pytest.raises(ShapeError, match="at least 3"):
        anomaly_index(np.ones(2))


def test_inversion_refuses_what_takes_no_patch() -> None:
    model = nn.Linear(D, 3).double()
    with pytest.raises(ProbeError, match="token ids"):
        invert_triggers(model, torch.arange(12).reshape(2, D))
    with pytest.raises(ArgumentError, match="steps"):
        invert_triggers(model, points(5, 1), steps=0)
    with pytest.raises(ArgumentError, match="one value"):
        invert_triggers(model, torch.ones(5, D))
