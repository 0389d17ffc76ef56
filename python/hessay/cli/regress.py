"""``hessay regress``: stepwise regression of a table, and what its rows do to it."""

from __future__ import annotations

import enum
import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hessay.cli.scan import Format, choose_format
from hessay.cli.streams import complain, emit, guarded
from hessay.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hessay.loading.tables import Table

_EXIT_CODES = {"CLEAN": 0, "FLAGGED": 1, "INCONCLUSIVE": 3}
_LISTED = 20  # influential rows


class Direction(str, enum.Enum):
    """Which way the selection walks."""

    forward = "forward"
    backward = "backward"
    both = "both"


class Criterion(str, enum.Enum):
    """What decides how many columns."""

    bic = "bic"
    aic = "aic"
    aicc = "aicc"
    ebic = "ebic"
    cp = "cp"
    adj_r2 = "adj_r2"
    f = "f"
    cv = "cv"
    loo = "loo"
    permutation = "permutation"


def regress(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A table: .csv with a header, .parquet or .npz.")
    ],
    target: Annotated[
        list[str],
        typer.Option(metavar="COLUMN", help="Column that is explained; several for many outputs."),
    ],
    criterion: Annotated[
        Criterion, typer.Option(help="What decides how many columns.")
    ] = Criterion.bic,
    direction: Annotated[
        Direction | None,
        typer.Option(help="By default both; forward for cv, loo and permutation."),
    ] = None,
    n_features: Annotated[
        int | None, typer.Option(help="Exactly so many columns, whatever the criterion.")
    ] = None,
    max_features: Annotated[int | None, typer.Option(help="At most so many columns.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Leave it out; may be repeated.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="In the model from the start; may be repeated."),
    ] = None,
    rows_report: Annotated[
        bool,
        typer.Option(
            "--rows-report", help="Influence of the rows, and whether some look poisoned."
        ),
    ] = False,
    alpha: Annotated[
        float, typer.Option(help="Accepted rate of false alarms of --rows-report.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(help="Of folds and permutations.")] = 0,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Of the report; by default from the name given with -o."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Same as --format json.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the report there, or not at all."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No remarks.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Explain a column of a table by others, step by step."""

    def body() -> int:
        from hessay.render import regression
        from hessay.render.files import check_writable, write

        chosen = choose_format(format_, json, output)
        where = None if output in (None, "-") else output
        if where is not None:
            check_writable(where)
        if not 0 < alpha < 1:
            raise ArgumentError(f"--alpha must lie in (0, 1), got {alpha}; 0.01 is usual")
        from hessay.loading.tables import read_table

        table = read_table(Path(data), target, excluded=exclude or ())
        alone = criterion.value in ("cv", "loo", "permutation")
        way = (Direction.forward if alone else Direction.both) if direction is None else direction
        settings: dict[str, Any] = {
            "criterion": None if n_features is not None and not alone else criterion.value,
            "direction": way.value,
            "n_features": n_features,
            "max_features": max_features,
            "forced": _positions(table, keep or ()),
            "random_state": seed,
        }
        if settings["criterion"] is None and direction is None:
            settings["direction"] = "forward"
        result = _regression(table, data, settings, alpha if rows_report else None)
        if chosen is Format.html:
            written = regression.html(result)
        elif chosen is Format.json:
            written = _as_json(result)
        else:
            written = regression.text(result)
        if where is None:
            emit(written)
        else:
            write(written, where)
            emit(regression.headline(result) + "\n")
            if not quiet:
                complain(f"the report is in {where}", "note")
        return 0 if result["rows"] is None else _EXIT_CODES[result["rows"]["poison"]["verdict"]]

    return guarded(body, debug=debug)


def _positions(table: Table, names: Sequence[str]) -> list[int]:
    from hessay.loading.shown import shown

    for name in names:
        if name not in table.names:
            known = ", ".join(shown(n, 40) for n in table.names[:_LISTED])
            raise ArgumentError(
                f"--keep {shown(name)!r} is no column that may enter; those are {known}"
            )
    return [table.names.index(name) for name in names]


def _regression(
    table: Table, source: str, settings: dict[str, Any], alpha: float | None
) -> dict[str, Any]:
    import numpy as np

    from hessay.stepwise.cross_validation import supports_along
    from hessay.stepwise.estimator import StepwiseRegression

    y, outputs = table.y, list(table.targets)
    if y.dtype.kind == "U":  # one output a label, but the last: it is one minus the others
        labels, codes = np.unique(y, return_inverse=True)
        if len(labels) < 2:
            raise ArgumentError(f"target {table.targets[0]} has one label only: {labels[0]}")
        outputs = [f"{table.targets[0]}={label}" for label in labels[:-1]]
        y = np.eye(len(labels))[codes][:, :-1]
        y = y[:, 0] if y.shape[1] == 1 else y
    model = StepwiseRegression(**settings).fit(table.x, y)
    path, names = model.path_, table.names
    coef = np.atleast_2d(model.coef_)
    taken = supports_along(path).index(tuple(int(c) for c in model.order_))
    return {
        "format": "hessay-regress-1",
        "source": source,
        "targets": list(table.targets),
        "outputs": outputs,
        "criterion": settings["criterion"],
        "direction": settings["direction"],
        "n_rows": len(table.x),
        "n_columns": len(names),
        "rss": model.rows_.rss,
        "tss": path.tss,
        "r2": 1 - model.rows_.rss / path.tss if path.tss > 0 else None,
        "intercept": [float(v) for v in np.atleast_1d(model.intercept_)],
        "order": [
            {"name": names[c], "column": int(c), "coef": [float(v) for v in coef[:, c]]}
            for c in model.order_
        ],
        "n_steps_taken": taken,
        "steps": [
            {
                "action": step.action,
                "columns": [names[c] for c in step.columns],
                "rss": step.rss,
                "delta_rss": step.delta_rss,
                "criterion": step.criterion,
                "p_value": step.p_value,
                "n_features": step.n_features,
            }
            for step in path.steps
        ],
        "collinear": [names[c] for c in path.collinear],
        "rows": None if alpha is None else _rows(table, y, model.order_, alpha),
    }


def _rows(table: Table, y: Any, order: Any, alpha: float) -> dict[str, Any]:
    import numpy as np

    from hessay.linear.poison_search import poison_report
    from hessay.stepwise.influence import row_influence

    found = row_influence(table.x, y, order)
    external = found.external
    largest = external if external.ndim == 1 else np.abs(external).max(axis=1)
    report = poison_report(table.x, table.y, alpha=alpha, feature_names=table.names)
    first = np.argsort(-found.cooks, kind="stable")[:_LISTED]
    return {
        "influence": [
            {
                "row": int(row),
                "leverage": float(found.leverage[row]),
                "cooks": float(found.cooks[row]),
                "external": float(largest[row]),
            }
            for row in first
        ],
        "poison": report.to_dict(),
        "poison_text": str(report),
    }


def _as_json(result: dict[str, Any]) -> str:
    rows = result["rows"]
    if rows is not None:
        rows = {key: value for key, value in rows.items() if key != "poison_text"}
    return json_module.dumps(_strict({**result, "rows": rows}), indent=2, allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(inner) for inner in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None  # JSON has no NaN and no infinity
    return value
