"""Products with the input Hessian: hessay's backends beside the ways people compute them in torch.

    python bench/bench_hvp.py [--repeats 5] [--columns 1 8 32] [--json FILE]

Models 784-512-256-10 (ReLU, GELU), trained for two epochs on Fashion-MNIST; probe: the first 512 test
images; loss: mean cross-entropy. Work: one block (784, k), the mean product returned; or, per
sample, (512, 784, k), all products returned. Contenders are interleaved in one process on one thread;
times are process CPU, medians. Every contender's product must agree with a float64 reference, or it
is marked wrong. Set-up (what is paid once) is shown apart, and so is the number of columns from
which set-up and products together beat the kept graph.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessay.errors import HessayError
from hessay.hessian import InputHessian, frozen
from hessay.training import load_dataset, train_classifier

N, D, TOLERANCE = 512, 784, 2e-5
Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Contender:
    """A way to compute H V: ``prepare`` is timed as set-up and gives the product."""

    name: str
    prepare: Callable[[nn.Module, Tensor, Tensor, bool], Product]


def kept_graph(model: nn.Module, x: Tensor, y: Tensor, average: bool) -> Product:
    """Double backward over a graph built once, a vector at a time (PyHessian's way, kept)."""
    x = x.clone().requires_grad_(True)
    loss = functional.cross_entropy(model(x), y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)

    def product(v: Tensor) -> Tensor:
        columns = []
        for j in range(v.shape[-1]):
            direction = v[:, j].expand(N, D) if average else v[:, :, j]
            (each,) = torch.autograd.grad(gradient, x, direction, retain_graph=True)
            columns.append(each.mean(dim=0) if average else each)
        return torch.stack(columns, dim=-1)

    return product


def gradient_function(model: nn.Module, y: Tensor, shared: bool) -> Callable[[Tensor], Tensor]:
    """Gradient of the loss as a function of the inputs, or of one shift all inputs share."""

    def loss(x: Tensor) -> Tensor:
        return functional.cross_entropy(model(x), y, reduction="mean" if shared else "sum")

    return torch.func.grad(loss)


def linearized(model: nn.Module, x: Tensor, y: Tensor, average: bool) -> Product:
    """``torch.func.linearize`` of the gradient, a vector at a time."""
    if average:
        gradient = gradient_function(model, y, shared=True)
        _, tangent = torch.func.linearize(
            lambda shift: gradient(x + shift).sum(dim=0), torch.zeros(D)
        )
    else:
        _, tangent = torch.func.linearize(gradient_function(model, y, shared=False), x)
    return lambda v: torch.stack([tangent(v[..., j]) for j in range(v.shape[-1])], dim=-1)


def vmapped(model: nn.Module, x: Tensor, y: Tensor, average: bool) -> Product:
    """``vmap(jvp(grad))``: forward over reverse, all columns together, the primal run again."""
    gradient = gradient_function(model, y, shared=average)
    if average:

        def function(shift: Tensor) -> Tensor:
            return gradient(x + shift).sum(dim=0)

        point = torch.zeros(D)
    else:
        function, point = gradient, x

    def one(v: Tensor) -> Tensor:
        return torch.func.jvp(function, (point,), (v,))[1]

    return lambda v: torch.func.vmap(one, in_dims=-1, out_dims=-1)(v.contiguous())


def hand_tiled(model: nn.Module, x: Tensor, y: Tensor, average: bool) -> Product:
    """Write the native algorithm in torch operations: the control for what C++ itself gains."""
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    smooth = isinstance(model[1], nn.GELU)
    weights = [layer.weight for layer in linear]
    slopes, curvatures, y_l = [], [], x
    with torch.enable_grad():
        for layer in linear[:-1]:
            a = (y_l @ layer.weight.T + layer.bias).detach().requires_grad_(True)
            value = functional.gelu(a) if smooth else functional.relu(a)
            (slope,) = torch.autograd.grad(value.sum(), a, create_graph=smooth)
            if smooth:
                curvatures.append(torch.autograd.grad(slope.sum(), a)[0])
            slopes.append(slope.detach())
            y_l = value.detach()
    p = (y_l @ weights[-1].T + linear[-1].bias).softmax(dim=1)
    g = p - functional.one_hot(y, p.shape[1])
    for index in reversed(range(len(slopes))):
        g = g @ weights[index + 1]
        if smooth:
            curvatures[index] = curvatures[index] * g
        g = g * slopes[index]

    def tangent(first: Tensor, rows: slice) -> Tensor:
        """(m, k, h1) in, (m, k, h1) out."""
        kept, current = [], first
        for index, slope in enumerate(slopes):
            kept.append(current)
            current = (current * slope[rows, None]) @ weights[index + 1].T
        q = p[rows, None]
        current = q * (current - (q * current).sum(dim=2, keepdim=True))
        for index in reversed(range(len(slopes))):
            current = (current @ weights[index + 1]) * slopes[index][rows, None]
            if smooth:
                current = current + curvatures[index][rows, None] * kept[index]
        return current

    def product(v: Tensor) -> Tensor:
        k = v.shape[-1]
        step = max(1, 512 // k)
        if average:
            pushed = (v.T @ weights[0].T)[None]
            total = torch.zeros(k, weights[0].shape[0])
            for begin in range(0, N, step):
                rows = slice(begin, min(N, begin + step))
                block = pushed.expand(rows.stop - begin, -1, -1)
                total += tangent(block, rows).sum(dim=0)
            return (total @ weights[0]).T / N
        out = torch.empty_like(v)
        for begin in range(0, N, step):
            rows = slice(begin, min(N, begin + step))
            pushed = v[rows].transpose(1, 2) @ weights[0].T
            out[rows] = (tangent(pushed, rows) @ weights[0]).transpose(1, 2)
        return out

    return product


def ours(backend: str) -> Callable[[nn.Module, Tensor, Tensor, bool], Product]:
    """Give one backend of hessay."""

    def prepare(model: nn.Module, x: Tensor, y: Tensor, average: bool) -> Product:
        hessian = InputHessian(model, (x, y), backend=backend, average=average)  # type: ignore[arg-type]
        return lambda v: torch.from_numpy(np.ascontiguousarray(hessian @ v.numpy()))

    return prepare


CONTENDERS = [
    Contender("torch: kept graph, double backward", kept_graph),
    Contender("torch.func: linearize", linearized),
    Contender("torch.func: vmap(jvp(grad))", vmapped),
    Contender("torch: hand-tiled tangent pass", hand_tiled),
    Contender("hessay native", ours("native")),
    Contender("hessay factor", ours("factor")),
]


def reference(model: nn.Module, x: Tensor, y: Tensor, v: Tensor, average: bool) -> Tensor:
    """Compute the product in double, by the kept graph."""
    twin = nn.Sequential(
        *[
            nn.Linear(m.in_features, m.out_features) if isinstance(m, nn.Linear) else type(m)()
            for m in model
        ]
    )
    twin.load_state_dict(model.state_dict())
    twin.double().requires_grad_(False)
    return kept_graph(twin, x.double(), y, average)(v.double())


def bench(
    model: nn.Module, x: Tensor, y: Tensor, average: bool, k: int, repeats: int
) -> list[dict[str, Any]]:
    """Time every contender on one block, interleaved; a row per contender."""
    generator = torch.Generator().manual_seed(k)
    v = torch.randn((D, k) if average else (N, D, k), generator=generator)
    truth = reference(model, x, y, v, average)
    rows, products = [], {}
    for contender in CONTENDERS:
        try:
            start = time.process_time()
            product = contender.prepare(model, x, y, average)
            setup = time.process_time() - start
            error = float((product(v).double() - truth).abs().max() / truth.abs().max())
        except (RuntimeError, HessayError) as problem:  # that it cannot do the work is a result
            rows.append(
                {"name": contender.name, "note": f"{type(problem).__name__}: {problem}"[:90]}
            )
            continue
        row = {"name": contender.name, "setup_ms": setup * 1e3, "error": error, "times": []}
        row["note"] = "" if error <= TOLERANCE else "WRONG"
        rows.append(row)
        products[contender.name] = product
    for _ in range(repeats):
        for row in rows:
            if "times" in row:
                start = time.process_time()
                products[row["name"]](v)
                row["times"].append((time.process_time() - start) * 1e3)
    for row in rows:
        if "times" in row:
            row["ms"] = statistics.median(row["times"])
            row["spread_ms"] = max(row["times"]) - min(row["times"])
    return rows


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print one table: times, ratios to the best torch contender, errors, break-even."""
    rivals = [row for row in rows if "ms" in row and row["name"].startswith("torch")]
    rivals = [row for row in rivals if not row["note"]]
    best = min(row["ms"] for row in rivals)
    kept = rivals[0]
    print(f"\n{title}")
    print(
        f"  {'':36}{'ms':>9}{'spread':>9}{'set-up':>9}{'vs best torch':>15}{'error':>10}  pays after"
    )
    for row in rows:
        if "ms" not in row:
            print(f"  {row['name']:36}{row['note']}")
            continue
        gain = kept["ms"] - row["ms"]
        extra = row["setup_ms"] - kept["setup_ms"]
        pays = (
            "at once"
            if extra <= 0 <= gain
            else f"{extra / gain:.1f} blocks"
            if gain > 0
            else "never"
        )
        print(
            f"  {row['name']:36}{row['ms']:9.2f}{row['spread_ms']:9.2f}{row['setup_ms']:9.1f}"
            f"{best / row['ms']:14.2f}x{row['error']:10.1e}  {pays} {row['note']}"
        )


def main() -> None:
    """Run every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--columns", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist")
    x, y = data.test_inputs[:N].flatten(1), data.test_targets[:N]
    results: dict[str, Any] = {}
    for activation in ("relu", "gelu"):
        arch = f"mlp:784-512-256-10:{activation}"
        trained = train_classifier(
            arch, data.train_inputs[:10000], data.train_targets[:10000], epochs=2
        )
        model = nn.Sequential(*trained).requires_grad_(False)
        for average in (True, False):
            for k in options.columns:
                title = f"{arch}, {'averaged' if average else 'per sample'}, k = {k}"
                with frozen(model):
                    rows = bench(model, x, y, average, k, options.repeats)
                show(title, rows)
                results[title] = rows
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
