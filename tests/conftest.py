"""Fixtures used by more than one file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
import torch
from hypothesis import settings
from safetensors.torch import save_file

from command_line import ARCH as COMMAND_LINE_ARCH
from command_line import SEED as COMMAND_LINE_SEED
from detection import ARCH, SEED, TARGET, Nets
from hessay import attacks, training
from hessay.loading import build_architecture
from store_case import postgresql_programs, postgresql_server

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
