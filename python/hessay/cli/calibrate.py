"""``hessay calibrate``: clean networks of the user's own, as references for later scans."""

from __future__ import annotations

from typing import Annotated

import typer

from hessay.cli.shared import PreprocessingFile
from hessay.cli.streams import complain, emit, guarded, progress_bar


def calibrate(
    data: Annotated[
        str,
        typer.Option(
            metavar="HOLDOUT",
            help="Labelled clean inputs, .npz or pictures as for hessay scan; not the later probe.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="Where the networks go: .safetensors."),
    ],
    n: Annotated[int, typer.Option("--n", help="Networks to train; 8 are good.")] = 8,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="ARCH",
            help="Train networks of this architecture, that of the models to be scanned, as --arch "
            "names it.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the data; by default about 800 updates.")
    ] = None,
    max_pictures: Annotated[
        int, typer.Option(metavar="N", help="Of pictures, take so many, classes in turn.")
    ] = 4096,
    preprocessing: PreprocessingFile = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Train reference networks on clean data: seconds, once for all models of a data set."""

    def body() -> int:
        from hessay._scan_file import load_probe, pictures_as
        from hessay.loading import build_architecture
        from hessay.references import train_references
        from hessay.render.files import check_writable

        target = check_writable(output)
        holdout = load_probe(data, pictures_as(preprocessing, None, data), n=max_pictures)
        with progress_bar(quiet=quiet) as progress:
            found = train_references(
                holdout,
                like=None if like is None else build_architecture(like),
                n=n,
                epochs=epochs,
                seed=seed,
                progress=progress,
            )
        found.save(target)
        lines = [
            f"{accuracy:.3f}  {like or arch}"
            for arch, accuracy in zip(found.architectures, found.accuracy, strict=True)
        ]
        emit("accuracy on rows kept back, architecture\n" + "\n".join(lines) + "\n")
        if not quiet:
            complain(f"use them with hessay scan --references {output}", "note")
        return 0

    return guarded(body, debug=debug)
