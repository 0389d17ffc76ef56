"""What a rule does: runs a program, posts to a URL, writes a marker, keeps a copy."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hessay.errors import HessayError
from hessay.monitor.rules import Rule
from hessay.monitor.settling import digest_of
from hessay.store import ScanRecord

COMMAND_SECONDS = 60.0
WEBHOOK_SECONDS = 10.0


class ActionError(HessayError, RuntimeError):
    """Somebody could not be told; it is tried again."""


def message(record: ScanRecord, events: frozenset[str]) -> dict[str, Any]:
    """Put what is told of a scan into JSON values."""
    told = {"events": sorted(events), **dataclasses.asdict(record)}
    del told["told_at"]
    return told


def perform(
    rule: Rule, told: Mapping[str, Any], report: str | None, checkpoint: Path | None
) -> None:
    """Do all that a rule says.

    Parameters
    ----------
    rule : Rule
    told : mapping
        Of :func:`message`.
    report : str or None
        The whole report, JSON.
    checkpoint : Path or None
        The file, where it still is what was scanned.

    Raises
    ------
    ActionError
        One of them failed; those after it in the order freeze, keep, command, webhook were not tried.
    """
    if rule.freeze is not None:
        _write(rule.freeze, json.dumps(told, indent=2) + "\n")
    if rule.keep is not None and checkpoint is not None:
        _keep(rule.keep, checkpoint, str(told["content"]))
    if rule.command:
        _run(rule.command, told, report)
    if rule.webhook is not None:
        _post(rule.webhook, told)


def _write(target: Path, content: str) -> None:
    """All of it or nothing, and on disk."""
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".hessay-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ActionError(f"the marker {target} cannot be written: {error}") from None


def _keep(folder: Path, checkpoint: Path, content: str) -> None:
    target = folder / f"{content[:16]}{checkpoint.suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists():
            return
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".hessay-")
        os.close(descriptor)
        try:
            if checkpoint.is_dir():
                Path(name).unlink()
                shutil.copytree(checkpoint, name, symlinks=True)
            else:
                shutil.copyfile(checkpoint, name, follow_symlinks=False)
            if digest_of(Path(name)) != content:
                raise ActionError(f"{checkpoint} changed before it could be kept")
            Path(name).replace(target)
        except BaseException:
            if Path(name).is_dir():
                shutil.rmtree(name, ignore_errors=True)
            else:
                Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ActionError(f"{checkpoint} cannot be kept in {folder}: {error}") from None


def _run(command: tuple[str, ...], told: Mapping[str, Any], report: str | None) -> None:
    # What comes from files and models reaches the program as data in variables, never as words of a command.
    variables = {
        f"HESSAY_{name.upper()}": " ".join(value) if isinstance(value, list) else str(value)
        for name, value in told.items()
        if value is not None
    }
    with tempfile.TemporaryDirectory(prefix="hessay-") as folder:
        if report is not None:
            file = Path(folder) / "report.json"
            file.write_text(report, "utf-8")
            variables["HESSAY_REPORT"] = str(file)
        try:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_SECONDS,
                env={**os.environ, **variables},
            )
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise ActionError(f"{command[0]} could not be run: {error}") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-200:]
        raise ActionError(f"{command[0]} ended with {done.returncode}: {said}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Go nowhere the user did not name."""


def _post(url: str, told: Mapping[str, Any]) -> None:
    host = urlsplit(url).hostname  # a URL may carry a secret: only its host is shown
    request = urllib.request.Request(
        url,
        data=json.dumps(told).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "hessay"},
        method="POST",
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=WEBHOOK_SECONDS):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        raise ActionError(f"the webhook at {host} answered {error.code}") from None
    except (OSError, ValueError) as error:
        raise ActionError(f"the webhook at {host} did not answer: {error}") from None
