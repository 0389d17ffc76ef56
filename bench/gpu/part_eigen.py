"""Eigenpairs: what the solver costs beside the products, and torch's own ways to the same."""

from __future__ import annotations

import torch
from torch import nn

from hessay import InputHessian, eigsh
from setting import SEED, Setting


def _network(d: int, width: int) -> nn.Module:
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(d, width), nn.GELU(), nn.Linear(width, 10))


def image_sized(s: Setting) -> None:
    """Find the top 20 of d = 150 528, and what that takes outside the products."""
    d, width, n, k = s.pick((150_528, 512, 4096, 20), (15_000, 128, 256, 10), (24, 6, 9, 2))
    model = _network(d, width).to(s.device)
    operator = InputHessian(model, torch.randn(n, d), backend="native")
    found = eigsh(operator, k=k, which="LA", tol=1e-3)
    residual = float(found.residuals.max() / found.norm)
    if not residual <= 2e-3:
        raise SystemExit(f"eigenpairs have residuals of {residual:.2g}, allowed 2e-3")
    outside = 1 - found.stats.operator_seconds / found.stats.seconds
    timing = s.time(lambda: eigsh(operator, k=k, which="LA", tol=1e-3), repeats=3, warm=0)
    s.note(f"eigsh, d = {d}, top {k}", timing, residual=residual)
    s.judge("eigsh: share of time outside the products", outside, 0.15, at_least=False)


def beside_torch(s: Setting) -> None:
    """Find the top 20 of one operator: hessay's solver, torch.lobpcg, torch.linalg.eigh."""
    d, n, k = s.pick((3072, 2000, 20), (500, 200, 10), (18, 7, 2))
    operator = InputHessian(
        _network(d, min(d, 1024)).to(s.device), torch.randn(n, d), backend="native"
    )
    dense = torch.from_numpy(operator.dense()).float().to(s.device)
    wanted = torch.linalg.eigvalsh(dense.double())[-k:].flip(0).cpu()

    def right(values: torch.Tensor) -> float:
        error = float((values.double().cpu() - wanted).abs().max() / wanted[0])
        if not error < 1e-3:
            raise SystemExit(f"eigenvalues are wrong: relative error {error:.2g}")
        return error

    found = eigsh(operator, k=k, which="LA", tol=1e-4)
    error = right(torch.from_numpy(found.values))
    ours = s.time(lambda: eigsh(operator, k=k, which="LA", tol=1e-4), repeats=3, warm=1)
    s.note("eigsh of products", ours, error=error)
    torch.manual_seed(SEED)
    start = torch.randn(d, k, device=s.device)
    s.rival(
        "torch.lobpcg of the dense matrix",
        lambda: torch.lobpcg(dense, k=k, X=start, niter=200),
        lambda pair: right(pair[0]),
    )
    s.rival(
        "torch.linalg.eigh of the dense matrix",
        lambda: torch.linalg.eigh(dense),
        lambda pair: right(pair[0][-k:].flip(0)),
    )
