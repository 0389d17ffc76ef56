"""The factor of a piecewise-linear network: set-up, products of image size, H itself; torch beside it."""

from __future__ import annotations

import torch
from torch import nn

from hessay import InputHessian
from setting import SEED, Setting, agree

CLASSES = 10


def factor_of_image_size(s: Setting) -> None:
    """Multiply with a factor of image size, which has to be read twice."""
    d, n, k = s.pick((150_528, 4096, 16), (15_000, 444, 16), (30, 4, 2))
    columns = n * (CLASSES - 1)
    b, v, out = s.matrix(d, columns), s.matrix(d, k), s.matrix(d, k)
    scratch = s.room(s.cuda.factor_apply_scratch(d, columns, k, False))

    def work() -> None:
        s.cuda.factor_apply(b, None, n, v, out, scratch, s.stream)

    work()
    few = slice(0, 64)
    error = agree("factor", out[few], b[few].double() @ (b.T @ v).double() / n, 1e-3)
    timing, moved = s.time(work), 2 * 4 * d * columns
    s.note("factor product", timing, error=error, bytes=moved)
    s.judge(
        "factor product: share of the copy",
        moved / timing.seconds / s.bandwidth,
        0.8,
        at_least=True,
    )
    s.rival(
        "factor product, torch",
        lambda: b @ (b.T @ v) / n,
        lambda found: agree("torch", found[few], out[few], 1e-3),
    )


def factor_of_a_network(s: Setting) -> None:
    """Make B, multiply by it, averaged and per sample, and form H; against the core in double."""
    d, width, n, k = s.pick((3072, 1024, 4096, 16), (768, 256, 512, 8), (7, 5, 6, 2))
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(d, width), nn.ReLU(), nn.Linear(width, CLASSES))
    inputs, v = torch.randn(n, d), torch.randn(d, k)
    few = slice(0, 64)
    exact = InputHessian(model.double(), inputs[few].double(), backend="factor")
    truth = torch.from_numpy(exact @ v.double().numpy())
    model = model.float().to(s.device)
    small = InputHessian(model, inputs[few], backend="factor")
    directions = v.to(s.device)
    error = agree("factor of a network", small @ directions, truth, 1e-4)
    dense = torch.from_numpy(small.dense())
    agree("dense H", dense, torch.from_numpy(exact.dense()), 1e-4)
    setup = s.time(lambda: InputHessian(model, inputs, backend="factor"), repeats=3, warm=1)
    operator = InputHessian(model, inputs, backend="factor")
    s.note("factor: set-up, tracing included", setup, reason=operator.reason)
    s.note("factor: product", s.time(lambda: operator @ directions), error=error)
    s.note("factor: H formed in double", s.time(operator.dense, repeats=3, warm=1))
    each = InputHessian(model, inputs, backend="factor", average=False)
    own = torch.randn(n, d, 1).numpy()
    s.note("factor: per sample, by way of the host", s.time(lambda: each @ own, repeats=3, warm=1))
