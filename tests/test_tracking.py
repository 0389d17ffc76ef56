"""What trackers get of a report, each through the calls its own library has."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import create_autospec

import pytest

from export_case import CLEAN, EVERY_KIND, INCONCLUSIVE, SAMPLE
from hessay.errors import ArgumentError
from hessay.report import Report
from hessay.tracking import log_report, scalars


class Writer:
    """torch.utils.tensorboard.SummaryWriter, as far as it is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        """Take a number."""

    def add_text(self, tag: str, text_string: str, global_step: int | None = None) -> None:
        """Take Markdown."""

    def flush(self) -> None:
        """Write."""


class Mlflow:
    """The module mlflow, as far as it is used."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Take numbers."""

    def log_text(self, text: str, artifact_file: str) -> None:
        """Take a file."""

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Take words."""


class Run:
    """A run of wandb, as far as it is used."""

    summary: dict[str, Any]

    def log(self, data: dict[str, Any], step: int | None = None) -> None:
        """Take numbers and words."""


class LightningLogger:
    experiment = None

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Take numbers."""


@pytest.mark.parametrize("report", EVERY_KIND)
def test_scalars_are_the_numbers_of_the_report(report: Report) -> None:
    found = scalars(report)
    assert found["hessay/flagged"] == (report.verdict.name == "FLAGGED")
    assert found["hessay/inconclusive"] == (report.verdict.name == "INCONCLUSIVE")
    for name in ("statistic", "threshold", "p_value", "flagged_class"):
        assert found.get(f"hessay/{name}") == getattr(report, name)


def test_tensorboard_gets_scalars_and_text() -> None:
    writer = create_autospec(Writer, instance=True)
    log_report(SAMPLE, writer, step=7)
    got = {c.args[0]: c.args[1] for c in writer.add_scalar.call_args_list}
    assert got == scalars(SAMPLE)
    assert all(c.kwargs == {"global_step": 7} for c in writer.add_scalar.call_args_list)
    text = writer.add_text.call_args.args[1]
    assert "FLAGGED" in text
    assert all(line.startswith("    ") for line in text.splitlines())


def test_mlflow_gets_metrics_tags_and_both_files() -> None:
    mlflow = create_autospec(Mlflow, instance=True)
    log_report(CLEAN, mlflow, step=3)
    mlflow.log_metrics.assert_called_once_with(scalars(CLEAN), step=3)
    assert mlflow.set_tags.call_args.args[0]["hessay.verdict"] == "CLEAN"
    files = {c.args[1]: c.args[0] for c in mlflow.log_text.call_args_list}
    assert set(files) == {"hessay/report-3.json", "hessay/report-3.html"}
    assert Report.from_json(files["hessay/report-3.json"]) == CLEAN


def test_wandb_gets_scalars_and_a_summary() -> None:
    run = create_autospec(Run, instance=True)
    run.summary = {}
    log_report(INCONCLUSIVE, run)
    (logged,) = run.log.call_args.args
    assert logged == {**scalars(INCONCLUSIVE), "hessay/verdict": "INCONCLUSIVE"}
    assert run.summary["hessay/verdict"] == "INCONCLUSIVE"
    assert json.loads(run.summary["hessay/report"])


def test_a_logger_of_lightning_gets_scalars() -> None:
    logger = create_autospec(LightningLogger, instance=True)
    log_report(SAMPLE, logger, step=1)
    logger.log_metrics.assert_called_once_with(scalars(SAMPLE), step=1)


def test_anything_else_is_refused() -> None:
    with pytest.raises(ArgumentError, match="cannot log to dict"):
        log_report(SAMPLE, {})
