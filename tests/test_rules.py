"""The escalation file, and what its rules do."""

from __future__ import annotations

import hashlib
import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hessay.errors import ArgumentError
from hessay.monitor import Rule, Rules, load_rules
from hessay.monitor.actions import ActionError, perform

TOLD: dict[str, Any] = {
    "events": ["flagged"],
    "verdict": "FLAGGED",
    "name": "$(touch hacked); `id` \x1b[2J",
    "content": hashlib.sha256(b"weights").hexdigest(),
    "p_value": None,
}


def rule(**changes: Any) -> Rule:
    return Rule(frozenset({"flagged"}), **changes)


def written(folder: Path, text: str) -> Path:
    file = folder / "rules.toml"
    file.write_text(text)
    return file


def test_a_rules_file_is_read_as_written(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        [rates]
        scans_per_year = 2000
        drift_false_alarms_per_year = 0.5
        [[rule]]
        when = "flagged"
        exit_code = 7
        freeze = "stop.json"
        [[rule]]
        when = ["drift", "failed"]
        command = ["true"]
        webhook = "https://example.org/x"
        keep = "kept"
        """,
    )
    rules = load_rules(file)
    assert rules.rates.average_run_length == 4000
    first, second = rules.rules
    assert first == rule(exit_code=7, freeze=tmp_path / "stop.json")
    assert second.when == {"drift", "failed"}
    assert second.command == ("true",)
    assert rules.exit_code(frozenset({"flagged"})) == 7
    assert rules.exit_code(frozenset({"drift"})) == 0


def test_without_a_file_an_alarm_outweighs_a_failure_and_that_an_open_question() -> None:
    rules = Rules()
    assert rules.exit_code(frozenset({"clean"})) == 0
    assert rules.exit_code(frozenset({"inconclusive"})) == 3
    assert rules.exit_code(frozenset({"inconclusive", "failed"})) == 2
    assert rules.exit_code(frozenset({"clean", "drift"})) == 1
    assert rules.exit_code(frozenset({"failed", "flagged", "inconclusive"})) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[rule]\n", "no TOML"),
        ("[rule]\nwhen='flagged'", r"\[\[rule\]\]"),
        ("[[rules]]\n", "unknown 'rules'"),
        ("[[rule]]\nexit_code=1", "when must name"),
        ("[[rule]]\nwhen='poisoned'\nexit_code=1", "when must name"),
        ("[[rule]]\nwhen=[]\nexit_code=1", "when must name"),
        ("[[rule]]\nwhen='flagged'", "does nothing"),
        ("[[rule]]\nwhen='flagged'\nexit=1", "unknown 'exit'"),
        ("[[rule]]\nwhen='flagged'\nexit_code=256", "got 256"),
        ("[[rule]]\nwhen='flagged'\nexit_code=true", "got True"),
        ("[[rule]]\nwhen='flagged'\ncommand='rm -rf /'", "list like"),
        ("[[rule]]\nwhen='flagged'\ncommand=[]", "list like"),
        ("[[rule]]\nwhen='flagged'\nwebhook='file:///etc/passwd'", "http or https"),
        ("[[rule]]\nwhen='flagged'\nwebhook='https://[x'", "http or https"),
        ("[[rule]]\nwhen='flagged'\nkeep=''", "keep must be a path"),
        ("rates=1", "must be a table"),
        ("[rates]\nscans_per_year=-1", "positive number, got -1"),
        ("[rates]\nscans_per_year=nan", "positive number, got nan"),
        ("[rates]\ndrift_false_alarms_per_year=1e9", "below scans_per_year"),
    ],
)
def test_a_rules_file_is_right_or_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        load_rules(written(tmp_path, text))


def test_a_rules_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"absent\.toml"):
        load_rules(tmp_path / "absent.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ArgumentError, match="cannot be read"):
        load_rules(tmp_path / "bytes.toml")


def test_a_program_gets_the_facts_as_data(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    code = (
        "import json, os, sys; report = open(os.environ['HESSAY_REPORT']).read();"
        "json.dump([report] + [os.environ.get('HESSAY_' + n) for n in ('NAME', 'EVENTS', 'P_VALUE')],"
        f"open({str(out)!r}, 'w'))"
    )
    perform(rule(command=(sys.executable, "-c", code)), TOLD, '{"a": 1}', None)
    assert json.loads(out.read_text()) == ['{"a": 1}', TOLD["name"], "flagged", None]
    assert not (tmp_path / "hacked").exists()


def test_a_program_that_fails_has_told_nobody() -> None:
    code = "import sys; sys.stderr.write('no such pager'); sys.exit(3)"
    with pytest.raises(ActionError, match="ended with 3: no such pager"):
        perform(rule(command=(sys.executable, "-c", code)), TOLD, None, None)
    with pytest.raises(ActionError, match="could not be run"):
        perform(rule(command=("/absent/program",)), TOLD, None, None)


def test_a_marker_is_written_whole(tmp_path: Path) -> None:
    perform(rule(freeze=tmp_path / "stop.json"), TOLD, None, None)
    assert json.loads((tmp_path / "stop.json").read_text()) == TOLD
    assert [p.name for p in tmp_path.iterdir()] == ["stop.json"]
    with pytest.raises(ActionError, match="cannot be written"):
        perform(rule(freeze=tmp_path / "absent" / "stop.json"), TOLD, None, None)


def test_what_is_kept_is_what_was_scanned(tmp_path: Path) -> None:
    checkpoint = tmp_path / "model.pt"
    checkpoint.write_bytes(b"weights")
    perform(rule(keep=tmp_path / "kept"), TOLD, None, checkpoint)
    perform(rule(keep=tmp_path / "kept"), TOLD, None, checkpoint)
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_bytes() == b"weights"
    checkpoint.write_bytes(b"other weights")
    with pytest.raises(ActionError, match="changed"):
        perform(rule(keep=tmp_path / "again"), TOLD, None, checkpoint)
    assert list((tmp_path / "again").iterdir()) == []


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, json.loads(body)))  # type: ignore[attr-defined]
        status = {"/ok": 204, "/moved": 302}.get(self.path, 500)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/ok")
        self.end_headers()

    def log_message(self, format: str, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as served:
        served.seen = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def test_a_webhook_gets_the_facts_and_must_agree(server: Any) -> None:
    base = f"http://127.0.0.1:{server.server_port}"
    perform(rule(webhook=f"{base}/ok"), TOLD, None, None)
    assert server.seen == [("/ok", TOLD)]
    with pytest.raises(ActionError, match="answered 500") as caught:
        perform(rule(webhook=f"{base}/broken?token=secret"), TOLD, None, None)
    assert "secret" not in str(caught.value)
    with pytest.raises(ActionError, match="answered 302"):
        perform(rule(webhook=f"{base}/moved"), TOLD, None, None)
    assert [path for path, _ in server.seen].count("/ok") == 1
