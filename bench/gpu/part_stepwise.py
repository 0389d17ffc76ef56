"""Stepwise selection: the device against a copy of X, and against this processor."""

from __future__ import annotations

import time

import numpy as np
import torch

from hessay.stepwise import stepwise_path
from setting import SEED, Setting


def selection(s: Setting) -> None:
    """N x p in single precision, 50 columns, 10 outputs: the same path as the core on a part, then all."""
    n, p, k, outputs = s.pick((1_000_000, 2000, 50, 10), (100_000, 500, 20, 5), (300, 12, 4, 2))
    torch.manual_seed(SEED)
    x = torch.randn(n, p, device=s.device)
    w = (
        torch.randn(k, outputs, device=s.device)
        * torch.linspace(1, 0.2, k, device=s.device)[:, None]
    )
    noisy = x[:, :k] @ w + torch.randn(n, outputs, device=s.device)
    y = noisy.double().cpu().numpy()
    part = min(n, 20_000)
    here = x[:part].cpu().numpy()
    wanted = stepwise_path(here, y[:part], criterion=None, n_features=k)
    device = str(s.device)
    found = stepwise_path(here, y[:part], criterion=None, n_features=k, device=device)
    if not np.array_equal(found.support, wanted.support):
        raise SystemExit(f"other columns were chosen: {found.support} and {wanted.support}")
    if not np.allclose(found.coef, wanted.coef, rtol=1e-3, atol=1e-3):
        raise SystemExit("the coefficients are wrong")
    paths = []

    def work() -> None:
        paths.append(stepwise_path(x, y, criterion=None, n_features=k, device=device))

    timing = s.time(work, repeats=3, warm=1)
    passes = paths[-1].stats.passes
    moved = passes * n * p * 4
    s.note("stepwise selection", timing, passes=passes, bytes=moved)
    share = moved / timing.seconds / s.bandwidth
    s.judge("stepwise: share of the copy, all passes", share, 0.6, at_least=True)
    start = time.perf_counter()
    stepwise_path(here, y[:part], criterion=None, n_features=k)
    # one pass costs the same per row: the processor's time grows with the rows
    host = (time.perf_counter() - start) * n / part
    s.note("stepwise on this processor, scaled up by rows", None, seconds=host, rows=part)
    ratio = host / timing.seconds
    s.judge("stepwise: processor, one thread, over device", ratio, 10.0, at_least=True)
    streamed = s.time(
        lambda: stepwise_path(here, y[:part], criterion=None, n_features=k, device=device),
        repeats=3,
        warm=1,
    )
    s.note(f"stepwise, {part} rows from the host", streamed)
