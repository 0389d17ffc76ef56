"""Reports into experiment trackers: MLflow, Weights & Biases, TensorBoard, loggers of Lightning."""

from __future__ import annotations

from typing import Any

from hessay import render
from hessay.errors import ArgumentError
from hessay.report import Report
from hessay.verdict import Verdict

__all__ = ["log_report", "scalars"]


def scalars(report: Report) -> dict[str, float]:
    """Give the numbers of a report by the names they are logged under.

    Returns
    -------
    dict
        ``hessay/flagged`` and ``hessay/inconclusive``, 0 or 1; statistic, threshold (dimensionless),
        p-value and flagged class where the scan has them.
    """
    found: dict[str, float | int | None] = {
        "flagged": int(report.verdict is Verdict.FLAGGED),
        "inconclusive": int(report.verdict is Verdict.INCONCLUSIVE),
        "statistic": report.statistic,
        "threshold": report.threshold,
        "p_value": report.p_value,
        "flagged_class": report.flagged_class,
    }
    return {f"hessay/{name}": float(value) for name, value in found.items() if value is not None}


def log_report(report: Report, logger: Any, *, step: int | None = None) -> None:
    """Write a report to a tracker that is open already.

    Parameters
    ----------
    report : Report
    logger : object
        ``torch.utils.tensorboard.SummaryWriter``; the module ``mlflow`` with an active run; a run of
        ``wandb.init()``; or a logger of PyTorch Lightning. Told apart by what they can do: none of
        these packages is imported.
    step : int or None
        Of the training, for trackers that draw curves.

    Raises
    ------
    ArgumentError
        Nothing that is known; or what the tracker itself raises.
    """
    able = _Able(logger)
    if able("add_scalar", "add_text"):
        _to_tensorboard(report, logger, step)
    elif able("log_metrics", "log_text", "set_tags"):
        _to_mlflow(report, logger, step)
    elif able("log", "summary"):
        _to_wandb(report, logger, step)
    elif able("log_metrics", "experiment"):
        logger.log_metrics(scalars(report), step=step)
    else:
        raise ArgumentError(
            f"cannot log to {type(logger).__name__}: give a SummaryWriter, the module mlflow, a run of "
            f"wandb or a logger of Lightning"
        )


class _Able:
    def __init__(self, logger: object) -> None:
        self._logger = logger

    def __call__(self, *names: str) -> bool:
        return all(hasattr(self._logger, name) for name in names)


def _to_tensorboard(report: Report, writer: Any, step: int | None) -> None:
    for name, value in scalars(report).items():
        writer.add_scalar(name, value, global_step=step)
    # The text is read as Markdown, which four spaces turn off.
    lines = render.text(report).splitlines()
    writer.add_text("hessay/report", "\n".join(f"    {line}" for line in lines), global_step=step)
    writer.flush()


def _to_mlflow(report: Report, mlflow: Any, step: int | None) -> None:
    mlflow.log_metrics(scalars(report), step=step)
    mlflow.set_tags({"hessay.verdict": report.verdict.name, "hessay.model": report.model.digest})
    name = "hessay/report" if step is None else f"hessay/report-{step}"
    mlflow.log_text(report.to_json(), f"{name}.json")
    mlflow.log_text(render.html(report), f"{name}.html")


def _to_wandb(report: Report, run: Any, step: int | None) -> None:
    run.log({**scalars(report), "hessay/verdict": report.verdict.name}, step=step)
    run.summary["hessay/verdict"] = report.verdict.name
    run.summary["hessay/report"] = report.to_json()
