"""Samples are worked on in tiles and factors in panels: where the cuts fall must not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hessay.hessian import Factor, InputHessian, frozen
from hessay.hessian.graph.program import LayerProgram, follow

SEED = 20256
N, D, C, K = 2500, 7, 4, 3  # more samples than any tile holds


def net(activation: nn.Module) -> nn.Sequential:
    torch.manual_seed(SEED)
    return nn.Sequential(
        nn.Linear(D, 5), activation, nn.Linear(5, 6), activation, nn.Linear(6, C)
    ).double()


def samples() -> torch.Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)


def close(actual: Any, expected: Any) -> None:
    assert np.abs(actual - expected).max() <= 1e-12 * max(1.0, np.abs(expected).max()) * N**0.5


@pytest.mark.parametrize(
    ("activation", "backend"), [(nn.ReLU(), "factor"), (nn.ReLU(), "native"), (nn.Tanh(), "native")]
)
def test_products_are_those_of_small_pieces(activation: nn.Module, backend: Any) -> None:
    model, data = net(activation), samples()
    v = np.random.default_rng(SEED).standard_normal((N, D, K))
    pieces = [slice(i, i + 50) for i in range(0, N, 50)]
    mean = InputHessian(model, data, weighting="labels", backend=backend)
    means = [InputHessian(model, data[rows], backend=backend) @ v[0] for rows in pieces]
    close(mean @ v[0], np.mean(means, axis=0))
    close(mean.dense(), mean @ np.eye(D))
    each = InputHessian(model, data, backend=backend, average=False)
    parts = [
        InputHessian(model, data[rows], backend=backend, average=False) @ v[rows] for rows in pieces
    ]
    close(each @ v, np.concatenate(parts))


def test_logits_and_class_sums_are_those_of_small_pieces() -> None:
    model, data = net(nn.Tanh()), samples()
    with frozen(model):
        program = follow(model, data)[1]
    assert isinstance(program, LayerProgram)
    flat = data.numpy()
    group = np.random.default_rng(SEED).integers(0, C, N)
    close(program.logits(flat), model(data).detach().numpy())
    pieces = [program.group_sums(flat[i : i + 50], group[i : i + 50], C) for i in range(0, N, 50)]
    close(program.group_sums(flat, group, C), np.sum(pieces, axis=0))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("lifted", [False, True])
def test_factors_of_several_panels_multiply_like_their_matrix(lifted: bool, threads: int) -> None:
    rng = np.random.default_rng(SEED)
    rows = rng.standard_normal((150, 5, 400))  # 750 rows of 400: several panels
    lift = rng.standard_normal((400, 450)) if lifted else None
    factor = Factor(rows, lift, threads=threads)
    b = factor.matrix()
    v = rng.standard_normal((factor.d, 6))
    expected = b.T @ (b @ v) / 150
    np.testing.assert_allclose(factor.apply(v), expected, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_allclose(factor.dense(), b.T @ b / 150, atol=1e-9)
    each = rng.standard_normal((150, factor.d, 2))
    blocks = b.reshape(150, 5, -1)
    wanted = np.einsum("nri,nrj,njk->nik", blocks, blocks, each, optimize=True)
    out = factor.apply_per_sample(each)
    np.testing.assert_allclose(out, wanted, atol=1e-11 * np.abs(wanted).max())
    single = factor.apply_per_sample(each[:, :, :1])
    np.testing.assert_allclose(single, wanted[:, :, :1], atol=1e-11 * np.abs(wanted).max())
