"""The Adversarial Robustness Toolbox (1.20.1), at its best settings, and how far we agree with it.

What it implements for PyTorch of the four methods: spectral signatures and activation clustering.
Its Neural Cleanse takes Keras models only, and its STRIP wraps a classifier so that it abstains
and shows no entropy. On PyTorch models both methods look at the logits unless, as here, the last
layer is struck from the wrapped model's list. Activation clustering cannot be seeded; it draws from NumPy's global
generator, which is seeded here.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import nn

from detect.cannot import CannotDo
from detect.case import Case
from hessay.hessian import frozen
from hessay.hessian.model.representation import representations
from hessay.second_opinions.activation_clustering import split_in_two
from hessay.second_opinions.spectral_signatures import spectral_signature

SILHOUETTE_LINE, SIZE_LINE = 0.1, 0.35  # the toolbox's own


def available() -> bool:
    """Whether the toolbox can be imported."""
    try:
        _defences()
    except CannotDo:
        return False
    return True


def spectral_scores(case: Case, fraction: float) -> NDArray[np.float64]:
    """Scores of the rejected rows; the others have none and get 0."""
    spectral, _ = _defences()
    classifier, inputs, labels = _wrapped(case)
    defence = spectral(classifier, inputs, labels, expected_pp_poison=fraction, eps_multiplier=1.5)
    rejected, _ = defence.detect_poison()
    scores = np.zeros(len(inputs))
    for row, score in rejected.items():
        scores[row] = score
    return scores


def clustering(case: Case) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Silhouette of each class, and which rows it takes for poison."""
    _, activation = _defences()
    classifier, inputs, labels = _wrapped(case)
    np.random.seed(0)  # noqa: NPY002
    defence = activation(classifier, inputs, labels)
    with contextlib.redirect_stdout(io.StringIO()):
        report, clean = defence.detect_poison(
            nb_clusters=2, nb_dims=10, reduce="PCA", cluster_analysis="silhouette-scores"
        )
    classes = [report[f"class_{c}"] for c in range(classifier.nb_classes)]
    silhouettes = np.array([float(found["avg_silhouette_score"]) for found in classes])
    # On one class it finds suspicious it turns its own rule round and calls the smaller cluster
    # clean; what it returns is kept as it is.
    return silhouettes, np.asarray(clean) == 0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Ours against the toolbox's functions on the same representations of one model."""

    spectral_uncentred: float  # Spearman correlation of the scores as it computes them, mean
    spectral_centred: float  # the same when it is handed centred representations
    split: float  # share of the samples that both put in the same cluster, mean over classes


def agreement(case: Case) -> Agreement:
    """Compare method by method, class by class."""
    spectral, _ = _defences()
    from art.defences.detector.poison.activation_defence import cluster_activations

    with frozen(case.model):
        found = representations(case.model, case.data.inputs)
    assert case.data.targets is not None
    uncentred, centred, same = [], [], []
    np.random.seed(0)  # noqa: NPY002
    for _, rows, values in found.of_each_class(case.data.targets):
        if len(rows) < 20:
            continue
        ours, _ = spectral_signature(values)
        theirs = spectral.spectral_signature_scores(values)[:, 0]
        uncentred.append(spearmanr(ours, theirs).statistic)
        theirs = spectral.spectral_signature_scores(values - values.mean(axis=0))[:, 0]
        centred.append(spearmanr(ours, theirs).statistic)
        split = split_in_two(values, reduction="pca")
        clusters, _ = cluster_activations([values], nb_clusters=2, nb_dims=10, reduce="PCA")
        if split is not None:
            alike = float((split.small == (clusters[0] == 1)).mean())
            same.append(max(alike, 1.0 - alike))
    return Agreement(*(float(np.mean(values)) for values in (uncentred, centred, same)))


def _defences() -> tuple[Any, Any]:
    try:
        from art.defences.detector.poison import ActivationDefence, SpectralSignatureDefense
    except ImportError as error:
        raise CannotDo(
            "adversarial-robustness-toolbox is not installed; "
            "pip install adversarial-robustness-toolbox==1.20.1"
        ) from error
    return SpectralSignatureDefense, ActivationDefence


def _wrapped(case: Case) -> tuple[Any, NDArray[np.float32], NDArray[np.int64]]:
    from art.estimators.classification import PyTorchClassifier

    if not isinstance(case.model, nn.Sequential) or len(case.model) < 3:
        raise CannotDo("the toolbox finds hidden layers in an nn.Sequential only")
    assert case.data.targets is not None
    flat = isinstance(case.model[0], nn.Linear)
    inputs = case.data.flat if flat else case.data.inputs
    with torch.no_grad():
        n_classes = case.model(inputs[:1]).shape[1]
    classifier = PyTorchClassifier(
        model=case.model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(inputs.shape[1:]),
        nb_classes=int(n_classes),
        device_type="cpu",
    )
    classifier._layer_names = classifier._layer_names[:-1]
    return classifier, inputs.numpy(), case.data.targets.numpy()
