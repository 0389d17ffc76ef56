"""Ask one of the published defences for its opinion on a model."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

import numpy as np
from torch import Tensor, nn

from hessay.errors import ArgumentError
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.guest import guest
from hessay.probe import Probe, as_probe
from hessay.second_opinions import activation_clustering, neural_cleanse, spectral_signatures, strip
from hessay.second_opinions.result import Opinion, SecondOpinion

OPINIONS: Final[Mapping[str, Opinion]] = MappingProxyType(
    {
        module.OPINION.name: module.OPINION
        for module in (spectral_signatures, activation_clustering, strip, neural_cleanse)
    }
)

_EVERY_ROW = 2**62


def second_opinion(
    name: str,
    model: nn.Module,
    probe: object,
    data: object = None,
    seed: int = 0,
) -> SecondOpinion:
    """Judge a model by a published defence.

    Parameters
    ----------
    name : str
        One of ``OPINIONS``: "spectral-signatures", "activation-clustering", "strip" or
        "neural-cleanse".
    model : nn.Module
        Returns logits (n, C). Its mode, weights and gradients are left as they were.
    probe : Probe, array, (inputs, targets), DataLoader or path
        Clean inputs the model was not trained on; targets are not used.
    data : Probe, (inputs, targets), DataLoader, path or None
        The training data, every row of them, in a fixed order: ``sample_scores`` has that order.
        Spectral signatures and activation clustering need their labels. STRIP takes any inputs
        under suspicion. Neural Cleanse does not look at them.
    seed : int, >= 0
        Of everything that is drawn.

    Returns
    -------
    SecondOpinion

    Raises
    ------
    ArgumentError
        Unknown name, ``seed`` below 0, no ``data`` where they are needed, or scikit-learn missing
        where it is.
    ProbeError, ShapeError
        The probe or the data are not usable, or have no labels where these are needed.
    ModelError, NonFinite
        The model raised, has no final linear layer where one is needed, is not differentiable
        where it must be, or its numbers are not finite.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> data = torch.randn(60, 4), torch.arange(60) % 3
    >>> said = second_opinion("spectral-signatures", net, torch.randn(30, 4), data)
    >>> said.sample_scores.shape, said.suspect in range(3)
    ((60,), True)
    """
    if name not in OPINIONS:
        raise ArgumentError(f"second opinions are {', '.join(OPINIONS)}, got {name!r}")
    opinion = OPINIONS[name]
    if seed < 0:
        raise ArgumentError(f"seed must be at least 0, got {seed}")
    if data is None and opinion.needs_data:
        kind = "labelled training data" if opinion.needs_targets else "inputs under suspicion"
        raise ArgumentError(f"{name} needs {kind} beside the clean probe; pass data=...")
    start = time.perf_counter()
    clean = as_probe(probe)
    # A loader is read twice: an order that changes would make the sample scores meaningless.
    rows = _all_rows(data) if opinion.needs_data else None
    own = guest(model, None)
    with frozen(own.model):
        found = opinion.judge(own.model, clean, rows, seed)
    return SecondOpinion(
        name=name,
        score=found.model_score,
        line=opinion.line,
        suspect=found.suspect,
        class_scores=found.class_scores,
        sample_scores=found.sample_scores,
        sample_flags=found.sample_flags,
        method=opinion.method,
        seconds=time.perf_counter() - start,
    )


def _all_rows(data: object) -> Probe:
    if isinstance(data, Probe | Tensor | np.ndarray | tuple | str | os.PathLike):
        return as_probe(data)
    if hasattr(data, "__iter__") or (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        return Probe.from_loader(cast("Iterable[Any]", data), n=_EVERY_ROW)
    return as_probe(data)  # which says what it takes
