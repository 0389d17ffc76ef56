"""Who is told of what: a TOML file read into rules that cannot be half right."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hessay.errors import ArgumentError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EVENTS = ("flagged", "drift", "failed", "inconclusive", "clean")
_LARGEST_FILE = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Rates:
    """How often there may be a false alarm, and how many scans that is shared by."""

    scans_per_year: float = 8760.0  # one an hour
    drift_false_alarms_per_year: float = 1.0

    @property
    def average_run_length(self) -> float:
        """Scans between false alarms of the test for drift."""
        return self.scans_per_year / self.drift_false_alarms_per_year


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done at an event."""

    when: frozenset[str]  # of EVENTS
    exit_code: int | None = None  # of hessay watch, in [0, 255]
    command: tuple[str, ...] = ()  # program and arguments; no shell
    webhook: str | None = None  # http or https URL that gets a JSON object by POST
    freeze: Path | None = None  # a file that is written, for others to stop at
    keep: Path | None = None  # a folder that the checkpoint is copied to


# An alarm outweighs a failure, and that an open question.
DEFAULT = (
    Rule(frozenset({"flagged", "drift"}), exit_code=1),
    Rule(frozenset({"failed"}), exit_code=2),
    Rule(frozenset({"inconclusive"}), exit_code=3),
)
_WEIGHT = {1: 4, 2: 3, 3: 2, 0: 0}


@dataclass(frozen=True, slots=True)
class Rules:
    """Rates, and rules that each apply by themselves."""

    rates: Rates = field(default_factory=Rates)
    rules: tuple[Rule, ...] = DEFAULT

    def exit_code(self, events: frozenset[str]) -> int:
        """Find the weightiest code any rule gives these events; 0 without one."""
        codes = [r.exit_code for r in self.rules if r.exit_code is not None and r.when & events]
        return max(codes, key=weight, default=0)


def weight(exit_code: int) -> int:
    """Order exit codes: alarm (1), could not run (2), open (3); codes of the user's own above 3."""
    return _WEIGHT.get(exit_code, exit_code + 1)


def load_rules(file: str | os.PathLike[str]) -> Rules:
    """Read an escalation file.

    Parameters
    ----------
    file : path
        TOML: a table ``[rates]`` and any number of ``[[rule]]``; docs/how-to/watch-a-training-run.md.
        Relative paths in it start at its folder. With any rule in it the rules of the default are gone.

    Raises
    ------
    ArgumentError
        It cannot be read, is no TOML, or says something that is not known.
    """
    path = Path(file)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ArgumentError(f"the rules {path} are larger than {_LARGEST_FILE} bytes")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"the rules {path} cannot be read: {error}") from None
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ArgumentError(f"the rules {path} are no TOML: {error}") from None
    where = f"in the rules {path}"
    _require_known(content, {"rates", "rule"}, where)
    tables = content.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ArgumentError(f"{where} rule must be written as [[rule]]")
    rules = tuple(
        _rule(table, f"{where}, rule {i}", path.parent) for i, table in enumerate(tables, 1)
    )
    return Rules(_rates(content.get("rates", {}), where), rules or DEFAULT)


def _rates(table: Any, where: str) -> Rates:
    if not isinstance(table, dict):
        raise ArgumentError(f"{where} rates must be a table [rates]")
    _require_known(table, set(Rates.__slots__), f"{where}, [rates]")
    for name, value in table.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and 0 < value < float("inf")):
            raise ArgumentError(f"{where} {name} must be a positive number, got {value!r}")
    rates = Rates(**{name: float(value) for name, value in table.items()})
    if rates.average_run_length <= 1:
        raise ArgumentError(
            f"{where} drift_false_alarms_per_year ({rates.drift_false_alarms_per_year:g}) must be "
            f"below scans_per_year ({rates.scans_per_year:g})"
        )
    return rates


def _rule(table: Mapping[str, Any], where: str, base: Path) -> Rule:
    _require_known(table, set(Rule.__slots__), where)
    when = table.get("when")
    events = [when] if isinstance(when, str) else when
    if not isinstance(events, list) or not events or not set(map(str, events)) <= set(EVENTS):
        raise ArgumentError(f"{where}: when must name some of {', '.join(EVENTS)}, got {when!r}")
    if not set(table) - {"when"}:
        raise ArgumentError(f"{where} does nothing; give one of exit_code, command, webhook, ...")
    return Rule(
        when=frozenset(map(str, events)),
        exit_code=_exit_code(table.get("exit_code"), where),
        command=_command(table.get("command"), where),
        webhook=_webhook(table.get("webhook"), where),
        freeze=_path(table.get("freeze"), "freeze", where, base),
        keep=_path(table.get("keep"), "keep", where, base),
    )


def _exit_code(value: Any, where: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 255:
        raise ArgumentError(f"{where}: exit_code must lie in [0, 255], got {value!r}")
    return value


def _command(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise ArgumentError(
            f'{where}: command must be a list like ["program", "argument"], got {value!r}; no '
            f"shell reads it"
        )
    return tuple(value)


def _webhook(value: Any, where: str) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ArgumentError(f"{where}: webhook must be an http or https URL, got {value!r:.80}")
    return str(value)


def _path(value: Any, name: str, where: str, base: Path) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        raise ArgumentError(f"{where}: {name} must be a path, got {value!r}")
    return base / value


def _require_known(table: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(table) - known):
        raise ArgumentError(
            f"{where}: unknown {', '.join(map(repr, unknown))}; known are {', '.join(sorted(known))}"
        )
