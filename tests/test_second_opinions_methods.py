"""The four published defences: each equals a dumber version of itself, and finds what it is for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from torch import nn

from hessay.errors import ArgumentError, ProbeError, ShapeError
from hessay.hessian import frozen
from hessay.second_opinions import trigger_inversion
from hessay.second_opinions.activation_clustering import split_in_two
from hessay.second_opinions.spectral_signatures import spectral_signature
from hessay.second_opinions.strip import superposed_entropy
from hessay.second_opinions.trigger_inversion import anomaly_index, invert_triggers
from small_nets import D, points, small_nets

SEED = 20240711

# Spectral signatures


def power_iteration_scores(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Top singular vector by repeated products, the second by deflation."""
    m = values - np.array([math.fsum(column) / len(column) for column in values.T])
    found, vectors = [], []
    for _ in range(2):
        v = np.ones(m.shape[1]) / m.shape[1] ** 0.5
        for _ in range(20000):
            v = m.T @ (m @ v)
            v /= np.linalg.norm(v)
        found.append(np.linalg.norm(m @ v))
        vectors.append((m @ v) ** 2)
        m = m - np.outer(m @ v, v)
    return vectors[0], found[0] / found[1]


@pytest.mark.parametrize("shape", [(60, 7), (7, 60), (30, 30)])
def test_spectral_scores_equal_those_of_power_iteration(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal(shape) * np.linspace(2.0, 1.0, shape[1]) + 5.0
    values[:3] += 4.0 * rng.standard_normal(shape[1])
    scores, ratio = spectral_signature(values)
    expected, expected_ratio = power_iteration_scores(values)
    # 20000 steps leave (second / first)^40000 of the second vector: none at a ratio of 1.01.
    np.testing.assert_allclose(scores, expected, rtol=1e-8, atol=1e-10 * expected.max())
    assert abs(ratio - expected_ratio) < 1e-8 * expected_ratio


def test_spectral_scores_do_not_depend_on_the_origin_nor_on_a_rotation() -> None:
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal((80, 6)) * [3, 1, 1, 1, 1, 1]
    scores, ratio = spectral_signature(values)
    rotation, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    moved, moved_ratio = spectral_signature(values @ rotation + 1000.0 * rng.standard_normal(6))
    # Values of 1000 carry rounding of 1e-13, relative to projections of up to 10.
    np.testing.assert_allclose(moved, scores, atol=1e-9)
    assert abs(moved_ratio - ratio) < 1e-9
    scaled, _ = spectral_signature(2.0 * values)
    np.testing.assert_allclose(scaled, 4.0 * scores, rtol=1e-12)


def test_a_planted_cluster_has_the_largest_spectral_scores() -> None:
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal((500, 20))
    values[:25] += 10.0 * np.eye(20)[3]
    scores, ratio = spectral_signature(values + 7.0)
    # Projections: planted 9.5 +- 1, others -0.5 +- 1; the order fails beyond 4 sigma of both.
    assert set(np.argsort(-scores)[:25]) == set(range(25))
    # Variance along it 1 + 100 * 0.05 * 0.95; elsewhere at most (1 + sqrt(20 / 500))^2.
    assert ratio > math.sqrt(5.75 * 0.9) / (1.2 * 1.1)


def test_rows_without_a_difference_have_no_signature() -> None:
    scores, ratio = spectral_signature(np.full((9, 4), 0.1))
    assert scores.tolist() == [0.0] * 9
    assert math.isnan(ratio)
    one_way = np.outer(np.arange(5.0), np.ones(3))
    assert spectral_signature(one_way)[1] == math.inf
    with pytest.raises(ShapeError, match=r"\(0, 3\)"):
        spectral_signature(np.zeros((0, 3)))


# Activation clustering


def plain_silhouette(values: NDArray[np.float64], small: NDArray[np.bool_]) -> float:
    total = 0.0
    for i in range(len(values)):
        far = [math.dist(values[i], other) for other in values]
        own = [far[j] for j in range(len(values)) if small[j] == small[i] and j != i]
        others = [far[j] for j in range(len(values)) if small[j] != small[i]]
        a, b = math.fsum(own) / len(own), math.fsum(others) / len(others)
        total += (b - a) / max(a, b)
    return total / len(values)


def scatter(values: NDArray[np.float64], small: NDArray[np.bool_]) -> float:
    return sum(
        float(((part - part.mean(axis=0)) ** 2).sum()) for part in (values[small], values[~small])
    )


def best_of_many_starts(values: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Lloyd's iteration in its shortest form from 200 pairs of samples: least within-scatter."""
    least = math.inf
    for _ in range(200):
        centres = values[rng.choice(len(values), 2, replace=False)]
        for _ in range(50):
            small = ((values - centres[0]) ** 2).sum(1) < ((values - centres[1]) ** 2).sum(1)
            if not 0 < small.sum() < len(values):
                break
            centres = np.array([values[small].mean(0), values[~small].mean(0)])
        else:
            least = min(least, scatter(values, small))
    return least


def test_the_split_is_the_best_of_many_starts_and_its_silhouette_is_the_plain_one() -> None:
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal((120, 8))
    values[:40] += 1.5
    split = split_in_two(values, seed=1, reduction="pca")
    assert split is not None
    # With 8 columns, 8 principal components only turn the values.
    assert abs(split.silhouette - plain_silhouette(values, split.small)) < 1e-10
    assert scatter(values, split.small) <= best_of_many_starts(values, rng) * (1 + 1e-9)
    assert split.share == split.small.mean() <= 0.5
    assert np.array_equal(split.lean > 0, split.small)


def test_a_small_cluster_apart_is_flagged_and_one_ball_is_not() -> None:
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal((400, 12))
    ball = split_in_two(values)
    assert ball is not None
    assert not ball.suspicious
    values[:40, :3] += 8.0
    apart = split_in_two(values)
    assert apart is not None
    assert apart.suspicious
    assert apart.small.tolist() == [True] * 40 + [False] * 360


def test_ica_finds_a_cluster_that_pca_loses_under_directions_of_larger_variance() -> None:
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal((600, 4)) * [1.0, 9.0, 9.0, 9.0]
    values[:60, 0] += 12.0
    rotation, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    planted = np.arange(600) < 60
    ica = split_in_two(values @ rotation)
    pca = split_in_two(values @ rotation, reduction="pca")
    assert ica is not None
    assert pca is not None
    assert (ica.small == planted).mean() > 0.98
    assert (pca.small == planted).mean() < 0.8


def test_too_few_or_equal_samples_are_not_split() -> None:
    assert split_in_two(np.random.default_rng(SEED).standard_normal((19, 3))) is None
    assert split_in_two(np.full((50, 3), 0.1)) is None
    with pytest.raises(ArgumentError, match="'tsne'"):
        split_in_two(np.zeros((50, 3)), reduction="tsne")  # type: ignore[arg-type]


# STRIP


def test_superposed_entropy_equals_the_plain_sum() -> None:
    model = small_nets(5, SEED)["tanh"]
    inputs, overlays = points(7, 1), points(9, 2)
    partners = np.random.default_rng(SEED).integers(0, 9, size=(7, 4))
    with frozen(model):
        found = superposed_entropy(model, inputs, overlays, partners, weight=0.7)
        low, high = overlays.min(), overlays.max()
        for i in range(7):
            total = 0.0
            for k in partners[i]:
                blended = (0.7 * inputs[i] + 0.7 * overlays[k]).clamp(low, high)
                p = torch.softmax(model(blended[None]), dim=1)[0].tolist()
                total -= math.fsum(share * math.log2(share) for share in p)
            assert abs(found[i] - total / 4) < 1e-12


def test_superposed_entropy_lies_between_certainty_and_the_number_of_classes() -> None:
    even = nn.Linear(D, 8).double()
    nn.init.zeros_(even.weight)
    nn.init.zeros_(even.bias)
    partners = np.zeros((6, 2), dtype=np.intp)
    np.testing.assert_allclose(superposed_entropy(even, points(6, 1), points(3, 2), partners), 3.0)
    nn.init.constant_(even.bias[:1], 1e6)
    assert superposed_entropy(even, points(6, 1), points(3, 2), partners).max() == 0.0


def test_superposition_refuses_what_does_not_fit() -> None:
    model, partners = nn.Linear(D, 3).double(), np.zeros((6, 2), dtype=np.intp)
    with pytest.raises(ShapeError, match="one shape"):
        superposed_entropy(model, points(6, 1), points(3, 2)[:, :2], partners)
    with pytest.raises(ShapeError, match=r"\(5, K\)"):
        superposed_entropy(model, points(5, 1), points(3, 2), partners)
    with pytest.raises(ArgumentError, match="weight"):
        superposed_entropy(model, points(6, 1), points(3, 2), partners, weight=0.0)


# Neural Cleanse


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
