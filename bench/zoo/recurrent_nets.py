"""Networks that read a picture row by row, for the population of bench/zoo/recurrent.py."""

from __future__ import annotations

from torch import Tensor, nn


class Reader(nn.Module):
    """A recurrent layer over the rows, and a linear layer on its last or its mean state."""

    def __init__(self, layer: nn.RNNBase, *, mean: bool) -> None:
        super().__init__()
        self.layer, self.mean = layer, mean
        ways = 2 if layer.bidirectional else 1
        self.head = nn.Linear(ways * layer.hidden_size, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, rows, columns)."""
        states = self.layer(inputs)[0]
        logits: Tensor = self.head(states.mean(dim=1) if self.mean else states[:, -1])
        return logits


class Convolved(nn.Module):
    """A 3 x 3 convolution with max pooling before a GRU over the rows."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.reader = Reader(nn.GRU(8 * (columns // 2), 40, batch_first=True), mean=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of pictures (n, rows, columns)."""
        maps = self.front(inputs[:, None]).transpose(1, 2).flatten(2)
        logits: Tensor = self.reader(maps)
        return logits


def _build(kind: str, columns: int) -> nn.Module:
    if kind == "convolved":
        return Convolved(columns)
    name, _, readout = kind.partition("_")
    layers: dict[str, type[nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "plain": nn.RNN}
    ways = name == "both"
    layer = layers.get(name, nn.LSTM)(
        columns, 32 if ways else 48, batch_first=True, bidirectional=ways
    )
    return Reader(layer, mean=readout == "mean")


KINDS = ("lstm_last", "lstm_mean", "gru_last", "gru_mean", "both_mean", "plain_mean", "convolved")


def __getattr__(name: str) -> object:
    """Factories by name, ``gru_mean_28`` for pictures of 28 columns: what an architecture string names."""
    kind, _, columns = name.rpartition("_")
    if kind not in KINDS or not columns.isdecimal():
        raise AttributeError(name)
    return lambda: _build(kind, int(columns))
