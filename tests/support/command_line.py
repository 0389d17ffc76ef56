"""What the tests of the command line share."""

from __future__ import annotations

from hessay import cli

SEED = 20240611
ARCH = "mlp:64-16-10"


def scan(*options: str, model: str = "model.safetensors", data: str = "probe.npz") -> int:
    arch = () if "--arch" in options else ("--arch", ARCH)
    return cli.main(["scan", model, "--data", data, *arch, *options])
