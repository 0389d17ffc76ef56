"""What the how-to pages on tables show is what happens."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[1] / "docs" / "how-to"


@pytest.mark.parametrize("name", ["stepwise-regression", "find-poisoned-rows"])
def test_the_page_runs_as_shown(name: str) -> None:
    pytest.importorskip("sklearn")
    failed, tried = doctest.testfile(str(PAGES / f"{name}.md"), module_relative=False)
    assert failed == 0
    assert tried >= 8
