"""The control: the tangent pass written by hand in torch operations, tile by tile.

What the fast routes do without their language: slopes, masks and pool winners cached, the first layer
applied once to a shared direction, the sum over the samples before the last transposed layer.
The difference to it is what C++ or a better schedule gains.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from hvp.contender import NotMeant, Product, Way
from hvp.problems import Problem

TILE_ROWS = 512  # samples times directions: 256 to 1024 are equally fast
CONV_TILE_ROWS = 64  # the same for images: 32 x 13 x 13 activations of 64 of them stay in cache


def _tiles(n: int, rows: int, k: int) -> Iterator[slice]:
    step = max(1, rows // k)
    for begin in range(0, n, step):
        yield slice(begin, min(n, begin + step))


def _curve(p: Tensor, tangent: Tensor) -> Tensor:
    """S u = p (u - p'u): the curvature of the cross-entropy on the logits."""
    return p * (tangent - (p * tangent).sum(dim=-1, keepdim=True))


def hand_tiled_mlp(problem: Problem, average: bool) -> Product:
    """Tangent pass of Linear layers with ReLU or GELU between them."""
    if problem.kind not in ("mlp", "softmax") or not isinstance(problem.model, nn.Sequential):
        raise NotMeant("written for chains of linear layers")
    linear = [layer for layer in problem.model if isinstance(layer, nn.Linear)]
    smooth = not problem.piecewise_linear
    weights = [layer.weight for layer in linear]
    slopes, curvatures, value = [], [], problem.x
    with torch.enable_grad():
        for layer in linear[:-1]:
            a = layer(value).detach().requires_grad_(True)
            value = functional.gelu(a) if smooth else functional.relu(a)
            (slope,) = torch.autograd.grad(value.sum(), a, create_graph=smooth)
            if smooth:
                curvatures.append(torch.autograd.grad(slope.sum(), a)[0])
            slopes.append(slope.detach())
            value = value.detach()
    p = linear[-1](value).softmax(dim=1)
    g = p - functional.one_hot(problem.y, p.shape[1])
    for index in reversed(range(len(slopes))):
        g = g @ weights[index + 1]
        if smooth:
            curvatures[index] = curvatures[index] * g
        g = g * slopes[index]

    def tangent(current: Tensor, rows: slice) -> Tensor:
        """(m, k, h1) in, (m, k, h1) out."""
        kept = []
        for index, slope in enumerate(slopes):
            kept.append(current)
            current = (current * slope[rows, None]) @ weights[index + 1].T
        current = _curve(p[rows, None], current)
        for index in reversed(range(len(slopes))):
            current = (current @ weights[index + 1]) * slopes[index][rows, None]
            if smooth:
                current.addcmul_(curvatures[index][rows, None], kept[index])
        return current

    def product(v: Tensor) -> Tensor:
        k = v.shape[-1]
        if average:
            pushed = (v.T @ weights[0].T)[None]
            total = torch.zeros_like(pushed[0])
            for rows in _tiles(problem.n, TILE_ROWS, k):
                shared = pushed.expand(rows.stop - rows.start, -1, -1)
                total += tangent(shared, rows).sum(dim=0)
            return (total @ weights[0]).T / problem.n
        out = torch.empty_like(v)
        for rows in _tiles(problem.n, TILE_ROWS, k):
            pushed = v[rows].transpose(1, 2) @ weights[0].T
            out[rows] = (tangent(pushed, rows) @ weights[0]).transpose(1, 2)
        return out

    return product


class _Planes:
    """Image activations with one axis of positions, in either memory layout."""

    def __init__(self, channels_last: bool) -> None:
        self.last = channels_last
        self.axis = -2 if channels_last else -1  # of the positions, in (..., c, p) or (..., p, c)
        self.format = torch.channels_last if channels_last else torch.contiguous_format

    def flat(self, image: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c, h w) or (n, h w, c), no copy in the layout's own format."""
        image = image.contiguous(memory_format=self.format)
        return image.permute(0, 2, 3, 1).flatten(1, 2) if self.last else image.flatten(2)

    def image(self, flat: Tensor, size: int) -> Tensor:
        """Undo ``flat``; images are (size, size)."""
        if self.last:
            return flat.unflatten(1, (size, size)).permute(0, 3, 1, 2)
        return flat.unflatten(2, (size, size))


def hand_tiled_cnn(channels_last: bool) -> Way:
    """Tangent pass of the benchmark's convolutional net, in one of the two memory layouts."""

    def setup(problem: Problem, average: bool) -> Product:
        if problem.kind != "cnn" or not isinstance(problem.model, nn.Sequential):
            raise NotMeant("written for the benchmark's convolutional net")
        planes = _Planes(channels_last)
        _, conv1, _, pool, conv2, _, _, _, dense1, _, dense2 = problem.model
        w2 = conv2.weight.contiguous(memory_format=planes.format)
        # A transposed convolution is the convolution with the kernel turned round.
        w2_back = conv2.weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=planes.format)
        image = problem.x.unflatten(1, (1, 28, 28))
        (masks1, winners1), value = _pooled(planes, conv1, pool, image)
        (masks2, winners2), value = _pooled(planes, conv2, pool, value)
        mask3 = dense1(value.flatten(1)) > 0
        p = dense2(dense1(value.flatten(1)).relu()).softmax(dim=1)
        w3, w4 = dense1.weight, dense2.weight
        if channels_last:  # the order the flattened activations are in here
            w3 = w3.unflatten(1, (64, 25)).transpose(1, 2).flatten(1).contiguous()

        def tangent(first: Tensor, rows: slice, k: int) -> Tensor:
            """Winners of conv1 (m k, ...) in, their cotangent out."""
            m1, m2, i2 = (_repeat(t[rows], k) for t in (masks1, masks2, winners2))
            middle = planes.flat(functional.conv2d(planes.image(first * m1, 13), w2))
            current = (middle.gather(planes.axis, i2) * m2).flatten(1) @ w3.T
            m3 = _repeat(mask3[rows], k)
            current = _curve(_repeat(p[rows], k), (current * m3) @ w4.T)
            current = ((current @ w4) * m3) @ w3
            winners = current.view(i2.shape) * m2
            back = planes.image(torch.zeros_like(middle).scatter_(planes.axis, i2, winners), 11)
            return planes.flat(functional.conv2d(back, w2_back, padding=2)) * m1

        def shared(v: Tensor) -> Tensor:
            k, total = v.shape[1], None
            pushed = planes.flat(functional.conv2d(v.T.reshape(k, 1, 28, 28), conv1.weight))
            for rows in _tiles(problem.n, CONV_TILE_ROWS, k):
                i1 = _repeat(winners1[rows], k)
                block = pushed.repeat(rows.stop - rows.start, 1, 1)
                back = tangent(block.gather(planes.axis, i1), rows, k)
                spread = torch.zeros_like(block).scatter_(planes.axis, i1, back)
                sums = spread.unflatten(0, (-1, k)).sum(dim=0)
                total = sums if total is None else total.add_(sums)
            product = functional.conv_transpose2d(planes.image(total, 26), conv1.weight)
            return product.flatten(1).T / problem.n

        def per_sample(v: Tensor) -> Tensor:
            k, out = v.shape[2], torch.empty_like(v)
            for rows in _tiles(problem.n, CONV_TILE_ROWS, k):
                i1 = _repeat(winners1[rows], k)
                images = v[rows].transpose(1, 2).reshape(-1, 1, 28, 28)
                block = planes.flat(functional.conv2d(images, conv1.weight))
                back = tangent(block.gather(planes.axis, i1), rows, k)
                spread = torch.zeros_like(block).scatter_(planes.axis, i1, back)
                product = functional.conv_transpose2d(planes.image(spread, 26), conv1.weight)
                out[rows] = product.view(-1, k, problem.d).transpose(1, 2)
            return out

        return shared if average else per_sample

    layout = "channels last" if channels_last else "channels first"
    return Way(f"hand-tiled torch, {layout}", "control", setup)


def _pooled(
    planes: _Planes, conv: nn.Module, pool: nn.Module, image: Tensor
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Run convolution, ReLU, pooling; give (winner is active, its position) and the values."""
    value, winners = functional.max_pool2d(
        conv(image).relu(), pool.kernel_size, pool.stride, return_indices=True
    )
    return (planes.flat(value > 0).to(image.dtype), planes.flat(winners)), value


def _repeat(t: Tensor, k: int) -> Tensor:
    """Repeat every sample k times, a row a direction."""
    return t if k == 1 else t.repeat_interleave(k, dim=0)


WAYS = [
    Way("hand-tiled torch", "control", hand_tiled_mlp),
    hand_tiled_cnn(channels_last=False),
    hand_tiled_cnn(channels_last=True),
]
