"""What the documentation shows runs as shown: docstring examples, README examples, README commands."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import hessay
from hessay.demo import run_demo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(hessay.__path__, "hessay.")
    if not module.name.endswith(
        ("__main__", "_core", "_cuda", "migrations.env")
    )  # alembic runs that one
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_hold(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), verbose=False)
    assert failed == 0


def test_docstrings_do_hold_examples() -> None:
    finder = doctest.DocTestFinder()
    found = sum(
        bool(test.examples)
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
    )
    assert found >= 10


def test_readme_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    run_demo(out="hessay-demo")
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102 - our own page


def test_readme_names_the_commands_the_makefile_has() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, flags=re.MULTILINE), command
    assert {"make demo", "make test"} <= set(re.findall(r"^make \w+", README, flags=re.MULTILINE))


def test_the_native_core_is_called_only_through_its_wrappers() -> None:
    # lint-imports cannot see a compiled module, so this rule is kept here.
    allowed = {"hessian", "spectrum", "edge", "verdict", "stepwise"}
    allowed |= {"marchenko_pastur", "tracy_widom", "silverstein", "spikes"}
    package = ROOT / "python" / "hessay"
    users = {
        path.relative_to(package).parts[0].removesuffix(".py")
        for path in package.rglob("*.py")
        if re.search(
            r"^\s*(from hessay import .*\b_core\b|import hessay\._core)",
            path.read_text(),
            re.MULTILINE,
        )
    }
    assert users <= allowed
    assert "spectrum" in users


def test_contributing_shows_every_module_that_exists() -> None:
    picture = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    headers = {path.stem for path in (ROOT / "cpp/include/hessay").glob("*.hpp")}
    modules = {name.split(".")[1] for name in MODULES if not name.split(".")[1].startswith("_")} - {
        "errors"
    }
    missing = {word for word in headers | modules if not re.search(rf"\b{word}\b", picture)}
    assert not missing
