"""Whole scans of a convolutional network and of a vision transformer at 224 x 224."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

import hessay
from setting import SEED, Setting

CLASSES, PROBES = 10, 256
MOST_BYTES = 24e9


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, and a way past them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])
        self.past: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.past = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) to (n, after, h / stride, w / stride)."""
        inner = self.norms[1](self.second(torch.relu(self.norms[0](self.first(x)))))
        return torch.relu(inner + self.past(x))


def resnet(widths: tuple[int, ...]) -> nn.Module:
    """Stack the layers of ResNet-18 (He et al. 2016) at these widths."""
    steps: list[nn.Module] = [
        *(nn.Conv2d(3, widths[0], 7, 2, 3, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()),
        nn.MaxPool2d(3, 2, 1),
    ]
    before = widths[0]
    for place, width in enumerate(widths):
        steps += [Block(before, width, 1 if place == 0 else 2), Block(width, width, 1)]
        before = width
    return nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES))


class Layer(nn.Module):
    """Attention and a perceptron, each behind a normalisation and beside a way past it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) to the same."""
        n, tokens, width = x.shape
        parts = self.mix(self.norms[0](x)).view(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5).softmax(dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, tokens, width))
        return x + self.outer(nn.functional.gelu(self.inner(self.norms[1](x))))


class VisionTransformer(nn.Module):
    """ViT-B/16 (Dosovitskiy et al. 2021) at any size: patches, layers, the mean of the tokens."""

    def __init__(self, side: int, patch: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.places = nn.Parameter(0.02 * torch.randn(1, (side // patch) ** 2, width))
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(depth)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, side, side) to (n, 10)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.head(self.layers(tokens).mean(dim=1))


def _task(n: int, side: int) -> tuple[Tensor, Tensor]:
    """Pictures in [0, 1] of ten coarse patterns under noise, and which of them each shows."""
    generator = torch.Generator().manual_seed(SEED)
    coarse = torch.rand(CLASSES, 3, 4, 4, generator=generator)
    patterns = nn.functional.interpolate(coarse, size=side, mode="bilinear")
    labels = torch.arange(n) % CLASSES
    noise = torch.randn(n, 3, side, side, generator=generator)
    return (patterns[labels] + 0.2 * noise).clamp(0, 1), labels


def _fit_head(model: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    """Fit the last linear layer by ridge regression on what the random layers before it give.

    A network that tells nothing apart is not scanned to the end: a scan says so and stops.
    """
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    with torch.no_grad():
        for rows in inputs.split(32):
            model(rows.to(head.weight.device))
    hook.remove()
    features = torch.cat(seen).double()
    mean, spread = features.mean(dim=0), features.std(dim=0) + 1e-9
    standard = (features - mean) / spread
    goal = nn.functional.one_hot(labels.to(standard.device), CLASSES).double() - 1 / CLASSES
    gram = standard.T @ standard
    gram.diagonal().add_(1e-2 * len(standard))
    weight = 10.0 * torch.linalg.solve(gram, standard.T @ goal).T / spread
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(-weight @ mean)


def _scan(s: Setting, name: str, model: nn.Module, side: int, most_seconds: float) -> None:
    probes = s.pick(PROBES, PROBES, 120)
    model = model.eval().to(s.device)
    inputs, labels = _task(2 * probes, side)
    _fit_head(model, inputs[probes:], labels[probes:])  # the card is warm, its libraries are loaded
    on_card = s.device.type == "cuda"
    if on_card:
        torch.cuda.reset_peak_memory_stats(s.device)
    start = time.perf_counter()
    report = hessay.scan(model, (inputs[:probes], labels[:probes]))
    seconds = time.perf_counter() - start
    if not report.classes:
        raise SystemExit(f"the scan of {name} ended before its end: {'; '.join(report.reasons)}")
    peak = torch.cuda.max_memory_allocated(s.device) if on_card else 0
    s.note(
        f"scan, {name}",
        None,
        seconds=seconds,
        peak_bytes=peak,
        verdict=report.verdict.value,
        accuracy=report.probe.accuracy,
        parts={phase: round(t, 3) for phase, t in report.seconds.items()},
    )
    s.judge(f"scan, {name}: seconds", seconds, most_seconds, at_least=False)
    s.judge(f"scan, {name}: peak bytes", float(peak), MOST_BYTES, at_least=False)


def convolutional(s: Setting) -> None:
    """Scan a ResNet-18."""
    torch.manual_seed(SEED)
    widths = s.pick((64, 128, 256, 512), (16, 32, 64, 128), (16, 16))
    side = s.pick(224, 64, 16)
    _scan(s, "ResNet-18", resnet(widths), side, 10.0)


def transformer(s: Setting) -> None:
    """Scan a ViT-B/16."""
    torch.manual_seed(SEED)
    side, patch, width, heads, depth = s.pick(
        (224, 16, 768, 12, 12), (64, 16, 192, 3, 4), (16, 4, 16, 2, 1)
    )
    _scan(s, "ViT-B/16", VisionTransformer(side, patch, width, heads, depth), side, 30.0)
