"""Every backend against torch.func.hessian, in double: nets x losses x weightings x modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hessay.errors import ArgumentError
from hessay.hessian import InputHessian
from hessay.probe import Probe
from hessian_nets import GRAPHS, LAYER_PROGRAMS, PIECEWISE_LINEAR, C, D, hessians, networks

SEED = 20260
N = 9
KINDS: list[tuple[str, Any]] = [
    ("cross_entropy", "labels"),
    ("cross_entropy", "softened"),
    ("cross_entropy", "uniform"),
    ("cross_entropy", ("margin", 2)),
    ("mse", "labels"),
    ("logistic", "labels"),
]
BACKENDS = ["factor", "native", "tangent", "autograd", "dense"]


def probe() -> Probe:
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randn(N, D, generator=generator, dtype=torch.float64)
    return Probe(inputs, torch.randint(0, C, (N,), generator=generator))


def exact(backend: str, net: str, weighting: Any, average: bool) -> bool:
    """Where a backend must work; anywhere else it must refuse."""
    is_loss = weighting in ("labels", "softened")
    return {
        "factor": net in PIECEWISE_LINEAR or not is_loss,
        "native": net in LAYER_PROGRAMS and is_loss,
        "tangent": net in GRAPHS,
        "autograd": True,
        "dense": average,
    }[backend]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
@pytest.mark.parametrize("name", sorted(networks()))
def test_every_backend_is_exact_or_refuses(name: str, kind: tuple[str, Any]) -> None:
    loss, weighting = kind
    net, data = networks()[name], probe()
    assert data.targets is not None
    each = hessians(net, data.inputs, data.targets, loss, weighting)
    allowed = 1e-10 * max(1.0, float(np.abs(each).max()))
    rng = np.random.default_rng(SEED)
    v, own = rng.standard_normal((D, 3)), rng.standard_normal((N, D, 2))
    for average in (True, False):
        for backend in [*BACKENDS, "auto"]:
            options: dict[str, Any] = {
                "loss": loss,
                "weighting": weighting,
                "average": average,
                "backend": backend,
            }
            if backend != "auto" and not exact(backend, name, weighting, average):
                with pytest.raises(ArgumentError, match=r"is not exact here"):
                    InputHessian(net, data, **options)
                continue
            hessian = InputHessian(net, data, **options)
            found, wanted = (
                (hessian @ v, each.mean(axis=0) @ v) if average else (hessian @ own, each @ own)
            )
            np.testing.assert_allclose(found, wanted, atol=allowed, err_msg=hessian.explain())
            if average:
                np.testing.assert_allclose(hessian.dense(), each.mean(axis=0), atol=allowed)
