"""``hessay plan``: what poison can be seen, and how to watch for it."""

from __future__ import annotations

import enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from hessay.cli.streams import complain, emit, guarded
from hessay.errors import ArgumentError

if TYPE_CHECKING:
    from hessay.theory.delay import Delay
    from hessay.theory.plan import MonitoringPlan

_DRAWN = (".svg", ".png")


class Sources(str, enum.Enum):
    """Whose rows the poison is made of."""

    one = "one"
    all = "all"


def plan(
    rows: Annotated[int, typer.Option(metavar="N", help="Clean training rows at the start.")],
    inputs: Annotated[int, typer.Option(metavar="P", help="Inputs of the model.")],
    classes: Annotated[int, typer.Option(metavar="C", help="Classes, of equal shares.")] = 10,
    theta: Annotated[
        float, typer.Option(help="Poisoned share of the source in arriving batches, in (0, 1).")
    ] = 0.1,
    strength: Annotated[
        float, typer.Option(help="Length of the trigger in standard deviations of an input.")
    ] = 4.0,
    source: Annotated[
        Sources, typer.Option(help="Poison from one class, or from all but the target.")
    ] = Sources.one,
    ridge: Annotated[
        list[float] | None,
        typer.Option(
            metavar="R", help="Ridge to consider (alpha / rows); repeat it. 0.01 0.1 1 10 if none."
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(metavar="B", help="Rows of a batch; a tenth of --rows if none.")
    ] = None,
    horizon: Annotated[int, typer.Option(help="Batches watched.")] = 12,
    alpha: Annotated[float, typer.Option(help="Chance of a false alarm over the horizon.")] = 0.05,
    power: Annotated[float, typer.Option(help="Chance of finding that is asked for.")] = 0.8,
    draws: Annotated[int, typer.Option(help="Simulated spectra behind each number.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write it there, as the name ends: .json, .txt, or a drawing .svg, .png.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No remarks.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Plan the monitoring of a linear model that is refitted as data arrive."""

    def body() -> int:
        target = None if output in (None, "-") else output
        suffix = ".json" if json and target is None else _suffix(target)
        if json and suffix != ".json":
            raise ArgumentError(f"--json contradicts -o {target}; give one of them")
        if target is not None:
            from hessay.render.files import check_writable

            check_writable(target)
        from hessay.theory.plan import monitoring_plan

        made = monitoring_plan(
            n_rows=rows,
            n_inputs=inputs,
            classes=classes,
            theta=theta,
            strength=strength,
            mode="one" if source is Sources.one else "all",
            ridges=tuple(ridge) if ridge else (0.01, 0.1, 1.0, 10.0),
            batch=batch,
            horizon=horizon,
            alpha=alpha,
            power=power,
            draws=draws,
            seed=seed,
        )
        if target is None:
            emit(_as_json(made) if suffix == ".json" else describe(made))
        else:
            _write(made, target, suffix)
            emit("".join(f"{sentence}\n" for sentence in made.sentences))
            if not quiet:
                complain(f"the plan is in {target}", "note")
        return 0 if made.sees else 3

    return guarded(body, debug=debug)


def _suffix(target: str | None) -> str:
    suffix = ".txt" if target is None else PurePath(target).suffix.lower()
    if suffix not in (".txt", ".json", *_DRAWN):
        raise ArgumentError(f"-o takes a name that ends in .json, .txt, .svg or .png, got {target}")
    return suffix


def _as_json(made: MonitoringPlan) -> str:
    import json

    return json.dumps(made.to_dict(), sort_keys=True, indent=1, allow_nan=False) + "\n"


def _write(made: MonitoringPlan, target: str, suffix: str) -> None:
    from hessay.render.files import write

    if suffix in _DRAWN:
        from hessay.theory.drawing import save_plan

        save_plan(made, target)
    else:
        write(_as_json(made) if suffix == ".json" else describe(made), target)


def describe(made: MonitoringPlan) -> str:
    """Write a plan as text: the question, two tables, the plan in words."""
    poison = "one source class" if made.mode == "one" else "all rows outside the target"
    question = (
        f"{made.n_rows} clean rows of {made.n_inputs} inputs, {made.classes} classes; then"
        f" {made.horizon} batches of {made.batch} rows,\n{_percent(made.theta)} of {poison} poisoned"
        f" with a trigger of strength {made.strength:g}.\nChance of a false alarm in all:"
        f" {_percent(made.alpha)}."
    )
    seen = (
        "Smallest poisoned share of the source found with a power of"
        f" {_percent(made.power)} in one scan of {made.n_rows} rows:"
    )
    head = f"  {'ridge':>8}{'visibility':>12}{'attack success':>16}{'trigger known':>15}"
    lines = [question, "", seen, "", f"{head}{'unknown':>10}"]
    lines += [
        f"  {row.ridge:8g}{row.visibility:12.2f}{_percent(row.attack_success):>16}"
        f"{_percent(row.theta_known):>15}{_percent(row.theta_unknown):>10}"
        for row in made.ridges
    ]
    delays = "Batches from the first poisoned one to the alarm, and the chance that none comes:"
    head = f"  {'scan every':>10}{'scans':>7}{'trigger known':>18}{'missed':>9}{'unknown':>16}"
    lines += ["", delays, "", f"{head}{'missed':>9}"]
    lines += [
        f"  {row.every:10d}{row.known.scans:7d}{_delay(row.known, 18)}{_delay(row.unknown, 16)}"
        for row in made.schedule
    ]
    return "\n".join((*lines, "", *(f"- {sentence}" for sentence in made.sentences))) + "\n"


def _delay(delay: Delay | None, width: int) -> str:
    if delay is None:
        return f"{'-':>{width}}{'-':>9}"
    return f"{f'{delay.at_least:.1f} to {delay.at_most:.1f}':>{width}}{_percent(delay.missed):>9}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.3g} %" if share > 5e-5 else "0 %"
