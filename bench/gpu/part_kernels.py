"""Ceilings of the card, and every fused kernel against the bytes it must move."""

from __future__ import annotations

from collections.abc import Callable

import torch

from setting import Setting

LEAST_SHARE = 0.8  # of the copy's bandwidth


def ceilings(s: Setting) -> None:
    """Copy bandwidth in bytes/s and the rate of a large fp32 product in FLOP/s."""
    source = torch.empty(s.pick(1 << 28, 1 << 26, 1 << 12), device=s.device)
    target = torch.empty_like(source)
    copy = s.time(lambda: target.copy_(source))
    s.bandwidth = 2 * source.numel() * 4 / copy.seconds
    n = s.pick(8192, 4096, 16)
    a, b, c = (s.matrix(n, n) for _ in range(3))
    scratch = s.room(s.cuda.blas_scratch())
    multiply = s.time(lambda: s.cuda.gemm(False, False, 1.0, a, b, 0.0, c, scratch, s.stream))
    s.rate = 2 * n**3 / multiply.seconds
    s.note("copy", copy, gb_per_s=s.bandwidth / 1e9)
    s.note(f"fp32 product {n}", multiply, tflop_per_s=s.rate / 1e12)


def kernels(s: Setting) -> None:
    """Every fused kernel: bytes it must move, and the share of the copy's bandwidth it reaches."""
    cuda = s.cuda
    h, n, k, classes = s.pick((4096, 2048, 16, 1000), (4096, 256, 16, 1000), (8, 3, 2, 5))
    slope, curvature = s.matrix(h, n), s.matrix(h, n)
    x, other, third = (s.matrix(h, n * k) for _ in range(3))
    pushed, sums = s.matrix(h, k), s.room(k * h).view(k, h).T.zero_()
    state = torch.softmax(torch.randn(n, classes, device=s.device), dim=1).T
    logits = s.matrix(classes, n * k)
    scratch = s.room(cuda.reduce_shared_scratch(h, k, n))
    norms, norm_room = s.room(n * k), s.room(cuda.column_norms_scratch(h, n * k))
    coefficients = s.room(n * k).fill_(0.5)
    full, factor, small = 4 * h * n * k, 4 * h * n, 4 * classes * n * k
    works: dict[str, tuple[int, Callable[[], None]]] = {
        "activate, slope and curvature kept": (
            4 * factor,
            lambda: cuda.activate(x[:, :n], slope, curvature, 3, 0.0, s.stream),
        ),
        "scale_by_sample, copy kept": (
            3 * full + factor,
            lambda: cuda.scale_by_sample(slope, k, x, other, s.stream),
        ),
        "tangent_backward_step": (
            3 * full + 2 * factor,
            lambda: cuda.tangent_backward_step(slope, curvature, other, k, x, s.stream),
        ),
        "expand_shared": (full + factor, lambda: cuda.expand_shared(slope, pushed, x, s.stream)),
        "reduce_shared": (
            full + factor,
            lambda: cuda.reduce_shared(slope, x, sums, scratch, s.stream),
        ),
        f"cross_entropy_curvature, {classes} classes": (
            2 * small + 4 * classes * n,
            lambda: cuda.cross_entropy_curvature(state, k, 1.0, logits, s.stream),
        ),
        "column_norms": (full, lambda: cuda.column_norms(x, norms, norm_room, s.stream)),
        "lanczos_update": (
            4 * full,
            lambda: cuda.lanczos_update(coefficients, coefficients, third, other, x, s.stream),
        ),
        "normalise": (2 * full, lambda: cuda.normalise(coefficients, x, s.stream)),
        "gaussian_fill": (full, lambda: cuda.gaussian_fill(x, 1, 0, s.stream)),
    }
    for name, (moved, work) in works.items():
        x.normal_()
        timing = s.time_kernel(work)
        s.note(name, timing, bytes=moved)
        s.judge(
            f"{name}, share of the copy",
            moved / timing.seconds / s.bandwidth,
            LEAST_SHARE,
            at_least=True,
        )
