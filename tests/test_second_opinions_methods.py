"""The four published defences: each equals a dumber version of itself, and finds what it is for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from hessay.errors import ArgumentError, ShapeError
from hessay.hessian import frozen
from hessay.second_opinions.activation_clustering import split_in_two
from hessay.second_opinions.spectral_signatures import spectral_signature
from hessay.second_opinions.strip import superposed_entropy
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
