"""Fixtures used by more than one file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from safetensors.torch import save_file

from command_line import ARCH as COMMAND_LINE_ARCH
from command_line import SEED as COMMAND_LINE_SEED
from cuda_device import Noted
from detection import ARCH, SEED, TARGET, Nets
from device_bodies import compile_twin, compiler
from hessay import InputHessian, attacks, training
from hessay.hessian.device import module as device_module
from hessay.hessian.device import route
from hessay.loading import build_architecture
from hessay.spectrum import operators
from hessay.stepwise import design as design_module
from hessay.stepwise import device as passes_module

# A red run must be red again: examples are a function of the test, weights and inputs of this file.
# `pytest --hypothesis-profile=search` draws new examples. No test is failed for its time: machines are busy.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", derandomize=False, deadline=None)
settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def nets() -> Nets:
    data = training.load_dataset("digits", seed=SEED)
    clean = training.train_classifier(ARCH, data.train_inputs, data.train_targets, epochs=40)
    bad = attacks.poison(
        data.train_inputs,
        data.train_targets,
        attack="blend",
        target=TARGET,
        fraction=0.1,
        seed=SEED,
    )
    poisoned = training.train_classifier(ARCH, bad.inputs, bad.targets, epochs=40)
    inputs, targets = data.test_inputs[:512], data.test_targets[:512]
    return Nets(clean, poisoned, bad.trigger, inputs, targets)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a random network, a probe, and a module of factories."""
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(COMMAND_LINE_SEED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(COMMAND_LINE_SEED)
        model = build_architecture(COMMAND_LINE_ARCH)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    inputs = torch.rand(512, 8, 8, generator=generator).numpy()
    np.savez(tmp_path / "probe.npz", inputs=inputs)
    return tmp_path


@pytest.fixture(scope="session")
def postgresql_databases() -> Iterator[Iterator[str]]:
    """URLs of empty databases of a PostgreSQL server started for this run."""
    # Here, so that tests of other things run where these are not installed.
    import psycopg

    from store_case import postgresql_programs, postgresql_server

    programs = postgresql_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server on this machine; Debian: apt-get install postgresql")
    with postgresql_server(programs) as url:

        def fresh() -> Iterator[str]:
            for number in itertools.count():
                with psycopg.connect(url.format("postgres"), autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE history{number}")
                yield url.format(f"history{number}")

        yield fresh()


@pytest.fixture
def postgresql(postgresql_databases: Iterator[str]) -> str:
    """The URL of an empty database."""
    return next(postgresql_databases)


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The bindings of hessay._cuda over loops in the place of kernels, for CPU tensors."""
    if compiler() is None:
        pytest.skip("no C++ compiler on this machine")
    return compile_twin(tmp_path_factory.mktemp("twin"))


@pytest.fixture
def on_twin(twin: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., InputHessian]:
    """Make an operator whose device is the CPU, through the twin of hessay._cuda.

    Only while it is made: the oracles beside it are the core's.
    """

    def make(
        model: torch.nn.Module, probe: Any, *, backend: Any = "native", **options: Any
    ) -> InputHessian:
        with monkeypatch.context() as patch:
            patch.setattr(device_module, "load", lambda: twin)
            patch.setattr(route, "is_device", lambda device: device.type == "cpu")
            return InputHessian(model, probe, backend=backend, **options)

    return make


@pytest.fixture
def there(twin: Any, monkeypatch: pytest.MonkeyPatch) -> Noted:
    """Let CPU tensors be those of a device that the twin of hessay._cuda works on.

    Memory of the device arrives as NaN: nobody may rely on what was there.
    """
    noted = Noted(twin)
    monkeypatch.setattr(device_module, "load", lambda: noted)
    monkeypatch.setattr(operators, "_is_cuda", lambda tensor: tensor.device.type == "cpu")
    new_empty = torch.Tensor.new_empty

    def spoiled(tensor: torch.Tensor, *size: Any, **options: Any) -> torch.Tensor:
        return new_empty(tensor, *size, **options).fill_(torch.nan)

    monkeypatch.setattr(torch.Tensor, "new_empty", spoiled)
    return noted


@pytest.fixture
def here(twin: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tensors of the CPU stand for those of a device, and the twin for hessay._cuda."""

    def lies(x: object) -> bool:
        return isinstance(x, torch.Tensor)

    monkeypatch.setattr(device_module, "load", lambda: twin)
    monkeypatch.setattr(design_module, "lies_on_device", lies)
    monkeypatch.setattr("hessay.stepwise.estimator.lies_on_device", lies)
    monkeypatch.setattr(passes_module, "is_device", lambda place: place.type == "cpu")
    return twin
