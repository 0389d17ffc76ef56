"""Derivatives at the output of an inner module, against torch.func.hessian of what follows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessay.errors import ArgumentError, ModelError, NonFinite, ProbeError
from hessay.hessian import InputHessian, frozen
from hessay.hessian.model.noise import noisy_copies
from hessay.probe import Probe
from small_nets import Attention, D, close, points, require_hessians, small_nets

SEED = 60601
N, C, WORDS, LENGTH, WIDTH = 9, 3, 12, 4, 3


class Reader(nn.Module):
    """Token ids to classes; padding, id 0, is masked by a look at the ids."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 1, batch_first=True)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, C)

    def forward(self, ids: Tensor) -> Tensor:
        return self.from_words(self.embedding(ids), ids == 0)

    def from_words(self, words: Tensor, padding: Tensor) -> Tensor:
        seen, _ = self.attention(words, words, words, key_padding_mask=padding, need_weights=False)
        states = self.norm(words + seen).masked_fill(padding[..., None], 0.0)
        return self.head(states.sum(1) / (~padding).sum(1, keepdim=True))


def reader() -> Reader:
    torch.manual_seed(SEED)
    return Reader().double()


def sentences(dtype: torch.dtype = torch.int64) -> Probe:
    generator = torch.Generator().manual_seed(SEED)
    ids = torch.randint(1, WORDS, (N, LENGTH), generator=generator)
    ids[::2, -1] = 0
    ids[::3, -2:] = 0
    return Probe(ids.to(dtype), torch.randint(0, C, (N,), generator=generator))


def of_words(net: Reader, probe: Probe, loss: Any) -> np.ndarray:
    """H_i (n, L E, L E) with respect to the words of one sentence."""

    def single(flat: Tensor, padding: Tensor, label: Tensor) -> Tensor:
        logits = net.from_words(flat.view(1, LENGTH, WIDTH), padding[None])
        return loss(logits, label[None])

    each = []
    assert probe.targets is not None
    with frozen(net):
        for ids, label in zip(probe.inputs, probe.targets, strict=True):
            words = net.embedding(ids).flatten().detach()
            each.append(torch.func.hessian(single)(words, ids == 0, label))
    return torch.stack(each).detach().numpy()


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
def test_hessian_of_a_sentence_is_that_of_its_word_vectors(dtype: torch.dtype) -> None:
    net, probe = reader(), sentences(dtype)
    exact = of_words(net, probe, functional.cross_entropy)
    require_hessians(net, probe, exact, wrt="embedding")
    hot = of_words(
        net, probe, lambda z, y: functional.mse_loss(z, functional.one_hot(y, C).double())
    )
    require_hessians(net, probe, hot, wrt="embedding", loss="mse")
    padded = np.repeat((probe.inputs == 0).numpy(), WIDTH, axis=1)
    assert np.abs(exact[padded]).max() == 0  # nothing of a padded word is read
    hessian = InputHessian(net, probe, wrt="embedding")
    assert (hessian.n, hessian.d, hessian.wrt) == (N, LENGTH * WIDTH, "embedding")
    assert "inside the network" in hessian.reason


def test_gauss_newton_weightings_inside_the_network() -> None:
    net, probe = reader(), sentences()
    jacobians = []
    with frozen(net):
        for ids in probe.inputs:
            words = net.embedding(ids).detach()
            rows = torch.func.jacrev(lambda w, i=ids: net.from_words(w[None], i[None] == 0)[0])(
                words
            )
            jacobians.append(rows.reshape(C, -1).numpy())
    centre = np.eye(C) - 1 / C
    exact = np.stack([j.T @ centre @ j for j in jacobians])
    assert "factor" in require_hessians(net, probe, exact, wrt="embedding", weighting="uniform")


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_inner_layer_of_a_perceptron(name: str) -> None:
    net, inputs = small_nets(C, SEED)[name], points(N, SEED)
    labels = torch.arange(N) % C
    with frozen(net):
        inner = net[0](inputs).detach()  # type: ignore[index]
        each = [
            torch.func.hessian(lambda h, y=y: functional.cross_entropy(net[1:](h[None]), y[None]))(
                h
            )
            for h, y in zip(inner, labels, strict=True)
        ]
    exact = torch.stack(each).detach().numpy()
    require_hessians(net, Probe(inputs, labels), exact, wrt="0")


def test_inner_points_are_what_the_users_hooks_make_of_the_output() -> None:
    net, inputs = small_nets(C, SEED)["tanh"], points(N, SEED)
    handle = net[0].register_forward_hook(lambda _m, _i, out: 2 * out)  # type: ignore[index]
    labels = torch.arange(N) % C
    hooks = dict(net[0]._forward_hooks)  # type: ignore[index]
    found = InputHessian(net, Probe(inputs, labels), wrt="0").dense()
    assert dict(net[0]._forward_hooks) == hooks  # type: ignore[index]
    handle.remove()
    doubled = small_nets(C, SEED)["tanh"]
    with torch.no_grad():
        doubled[0].weight.mul_(2)  # type: ignore[index]
        doubled[0].bias.mul_(2)  # type: ignore[index]
    close(found, InputHessian(doubled, Probe(inputs, labels), wrt="0").dense())


class Odd(nn.Module):
    """Ways in which an inner module is no place to differentiate at."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.used, self.idle = nn.Linear(D, D), nn.Linear(D, D)
        self.lstm = nn.LSTM(D, D)
        self.head = nn.Linear(D, C)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "twice":
            x = self.used(self.used(x))
        elif self.kind == "tuple":
            x = self.lstm(x)[0]
        elif self.kind == "unused":
            self.used(x)
        elif self.kind == "detached":
            x = self.used(x).detach()
        elif self.kind == "batch":
            x = self.used(x - x.mean(dim=0))
            x = x - x  # hides it from the logits
        elif self.kind == "random":
            x = self.used(functional.dropout(x, 0.5, training=True)) * 0
        elif self.kind == "sum":
            x = self.used(x).sum(dim=0, keepdim=True) + x
        elif self.kind == "nan":
            x = torch.nan_to_num(self.used(x / 0))
        return self.head(x)


@pytest.mark.parametrize(
    ("kind", "wrt", "error", "reason"),
    [
        ("", "usde", ArgumentError, r"got 'usde'; there are for example 'used'"),
        ("", "", ArgumentError, "got ''; there are for example 'used', 'idle'"),
        ("", 3, ArgumentError, "name of a module, got 3"),
        ("used once", "idle", ModelError, "'idle' is not called in the forward pass"),
        ("twice", "used", ModelError, "'used' is called more than once"),
        ("tuple", "lstm", ModelError, "'lstm' returns tuple, not one float tensor"),
        ("unused", "used", ModelError, "cannot be differentiated at the output of 'used'"),
        ("detached", "used", ModelError, "cannot be differentiated at the output of 'used'"),
        ("batch", "used", ModelError, "not deterministic"),
        ("random", "used", ModelError, "not deterministic"),
        ("sum", "used", ModelError, "not deterministic"),
        ("nan", "used", NonFinite, "output of 'used' is NaN or Inf for 9 of 9 probes"),
    ],
)
def test_places_that_cannot_be_differentiated_at_are_named(
    kind: str, wrt: Any, error: Any, reason: str
) -> None:
    torch.manual_seed(SEED)
    with pytest.raises(error, match=reason):
        InputHessian(Odd(kind).double(), Probe(points(N, SEED)), wrt=wrt)


class SequenceFirst(nn.Module):
    """The sample axis of the embedding is the second one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.head = nn.Linear(WIDTH, C)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embedding(ids.T).mean(0))


class Trimming(Reader):
    """Cuts every batch to its longest sentence: a word's place depends on its neighbours."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids[:, : int((ids != 0).sum(1).max())])


@pytest.mark.parametrize("rows", [2, 100])
def test_an_inner_shape_that_changes_with_the_batch_is_refused(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hessay.hessian.model.site.chunk_rows", lambda _: rows)
    ids = torch.arange(1, 1 + N * LENGTH).reshape(N, LENGTH) % (WORDS - 1) + 1
    ids[4:, -1] = 0
    with pytest.raises(ModelError, match=r"'embedding' returns shape \(\d, 3, 3\)"):
        InputHessian(Trimming().double(), Probe(ids), wrt="embedding")


@pytest.mark.parametrize("n", [3, LENGTH, 9])
def test_a_sample_axis_that_is_not_first_is_refused_even_at_equal_lengths(n: int) -> None:
    probe = Probe(torch.arange(n * LENGTH).reshape(n, LENGTH) % WORDS)
    with pytest.raises(ModelError, match="sample axis first"):
        InputHessian(SequenceFirst(), probe, wrt="embedding")


def test_token_ids_have_no_derivative_themselves() -> None:
    with pytest.raises(ProbeError, match=r"inputs are int64.*pass wrt='embedding' \(Embedding\)"):
        InputHessian(reader(), sentences())
    with pytest.raises(ProbeError, match=r"inputs are int32.*convert them to float32"):
        InputHessian(small_nets(C, SEED)["relu"], Probe(torch.eye(D, dtype=torch.int32)))


def test_smoothing_inside_a_network() -> None:
    net, probe = reader(), sentences()
    with frozen(net):
        words = net.embedding(probe.inputs)
        noisy = noisy_copies(words, 0.2, 2, 1).view(N, 2, LENGTH * WIDTH)
        assert probe.targets is not None
        each = np.zeros((N, LENGTH * WIDTH, LENGTH * WIDTH))
        for i in range(N):
            padding, label = probe.inputs[i][None] == 0, probe.targets[i][None]

            def single(flat: Tensor, p: Tensor = padding, y: Tensor = label) -> Tensor:
                return functional.cross_entropy(net.from_words(flat.view(1, LENGTH, WIDTH), p), y)

            for point in noisy[i]:
                each[i] += torch.func.hessian(single)(point).numpy() / 2
    require_hessians(net, probe, each, wrt="embedding", noise=0.2, draws=2, seed=1)


def test_attention_can_be_the_place() -> None:
    net = Attention(C).double()
    with pytest.raises(ModelError, match="'inner' returns tuple"):
        InputHessian(net, Probe(points(N, SEED)), wrt="inner")
    assert InputHessian(net, Probe(points(N, SEED)), wrt="norm").shape == (D, D)
