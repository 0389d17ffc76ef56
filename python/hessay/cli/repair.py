"""``hessay repair``: take the backdoor out of a model, and write what is left of it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hessay._printable import printable
from hessay.cli.saved import read_report
from hessay.cli.shared import Device, PreprocessingFile
from hessay.cli.streams import complain, emit, guarded, progress_bar

if TYPE_CHECKING:
    from hessay.repairing.result import Condition, Repair


def repair(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Weights: .safetensors, a torch state dict, .pt2 or .onnx."
        ),
    ],
    arch: Annotated[
        str,
        typer.Option(
            "--arch",
            metavar="ARCH",
            help="mlp:784-512-10[:gelu], linear:784-10, cnn:1x28x28-10 or package.module:factory. "
            "A factory is imported and called: name only code that you trust.",
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="PROBE", help="Labelled clean inputs, .npz or pictures as for hessay scan."
        ),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FIXED.safetensors", help="Where to write."),
    ],
    report: Annotated[
        str | None,
        typer.Option(metavar="REPORT.json", help="Of the scan of this model: the classes to take."),
    ] = None,
    suspects: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Labelled training inputs that are suspected, as for --data."
        ),
    ] = None,
    max_accuracy_loss: Annotated[
        float, typer.Option(help="Share of the probe that the repair may cost.")
    ] = 0.005,
    preprocessing: PreprocessingFile = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Repair a model without retraining."""

    def body() -> int:
        # Imported when a command runs: --help is quick, and doctor answers where torch is broken.
        import hessay
        from hessay._scan_file import load_probe, pictures_as
        from hessay.loading import load_model
        from hessay.repairing.files import check_target

        check_target(output, force=force)
        # A factory or a model that prints must not get between the reader and the result.
        with progress_bar(quiet=quiet) as progress, contextlib.redirect_stdout(sys.stderr):
            given = None if report is None else read_report(report)
            how = pictures_as(preprocessing, model, data, suspects)
            found = hessay.repair(
                load_model(model, arch, device=device),
                load_probe(data, how),
                given,
                suspects=None if suspects is None else load_probe(suspects, how),
                max_accuracy_loss=max_accuracy_loss,
                seed=seed,
                progress=progress,
            )
        if found.accepted:
            found.save(output, force=force)
        emit(_as_json(found, output) if json else table(found))
        if found.accepted and not quiet:
            loader = "hessay.load_model" if found.form == "weights" else "hessay.load_repaired"
            complain(f"the repaired model is in {output}; {loader} loads it", "note")
        return 0 if found.accepted else 1

    return guarded(body, debug=debug)


def table(found: Repair) -> str:
    """Write a repair as text: one line, the numbers before and after, what was tried."""
    both = (found.before, found.after)
    rows = [("", ["before", "after"]), (found.measure, [_share(x.accuracy) for x in both])]
    rows += [
        (f"flip rate to class {c}", [_share(x.flip_rate[c]) for x in both]) for c in found.classes
    ]
    if found.before.suspects_rate is not None:
        rows.append(("suspects in their class", [_share(x.suspects_rate) for x in both]))
    rows.append(("statistic S", [_statistic(x) for x in both]))
    head = "REPAIRED" if found.accepted else "REFUSED"
    lines = [f"{head}: {found.reason}", ""]
    lines += [f"  {name:26}{left:>9}{right:>9}" for name, (left, right) in rows]
    lines += ["", f"  {'tried':44}{found.measure:>10}{'flips':>9}{'suspects':>10}"]
    for one in found.candidates:
        at = f", {one.strength:g} of it" if one.strength < 1.0 else ""
        now = one.condition
        lines.append(
            f"  {one.method + at:44}{now.accuracy:10.3f}{max(now.flip_rate.values()):9.3f}"
            f"{_share(now.suspects_rate):>10}{'' if one.qualifies else '  does not qualify'}"
        )
    # Layers have the names their maker gave them.
    return "".join(printable(line) + "\n" for line in lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _statistic(condition: Condition) -> str:
    return "-" if condition.statistic is None else f"{condition.statistic:.2f}"


def _as_json(found: Repair, output: str) -> str:
    import json

    document = found.to_dict() | {"output": output if found.accepted else None}
    return json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n"
