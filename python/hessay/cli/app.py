"""Commands, options, and the last place an error can go."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from hessay.cli.calibrate import calibrate
from hessay.cli.completion import VARIABLE, completion
from hessay.cli.demo_command import demo
from hessay.cli.doctor import doctor
from hessay.cli.exports import export
from hessay.cli.gate import gate
from hessay.cli.help_page import documented
from hessay.cli.help_pages import PAGES
from hessay.cli.plan import plan
from hessay.cli.rank import rank
from hessay.cli.regress import regress
from hessay.cli.repair import repair
from hessay.cli.scan import scan
from hessay.cli.serve import serve
from hessay.cli.streams import complain, guarded
from hessay.cli.watch import watch
from hessay.cli.watch_data import watch_data

# typer has carried click outside and inside itself; what it exports leads to either.
_UsageProblem: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

app = typer.Typer(
    name="hessay",
    help="A purity assay for neural networks, read from the spectrum of the input Hessian.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in (
    ("scan", scan),
    ("gate", gate),
    ("calibrate", calibrate),
    ("rank", rank),
    ("plan", plan),
    ("export", export),
    ("demo", demo),
    ("doctor", doctor),
    ("regress", regress),
    ("repair", repair),
    ("watch", watch),
    ("watch-data", watch_data),
    ("serve", serve),
    ("completion", completion),
):
    _page = PAGES[_name]
    app.command(_name, cls=documented(_page), help=_page.description, short_help=_page.summary)(
        _command
    )


def _show_version(wanted: bool) -> None:
    if wanted:
        import hessay

        typer.echo(f"hessay {hessay.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Decide from the input Hessian whether a PyTorch model was trained on poisoned data."""


def run(arguments: Sequence[str] | None) -> int:
    """Run the command named in ``arguments`` and return its exit code."""
    if VARIABLE in os.environ:
        return _complete()
    return guarded(lambda: _dispatch(arguments))


def _complete() -> int:
    """Answer a shell that completes a line; it never scans."""
    shells: Any = importlib.import_module("typer.completion")
    shells.completion_init()
    try:
        app(prog_name="hessay")
    except SystemExit as done:  # how an answer ends
        return done.code if isinstance(done.code, int) else 0
    return 0


def _dispatch(arguments: Sequence[str] | None) -> int:
    listed = None if arguments is None else list(arguments)
    try:
        code = app(args=listed, prog_name="hessay", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _UsageProblem as problem:
        # Asking for nothing prints the help; that is an answer, but not to a scan.
        if type(problem).__name__ != "NoArgsIsHelpError":
            message = problem.format_message().rstrip(".")
            complain(f"{message}; hessay --help shows the options")
        else:
            typer.echo(problem.format_message(), err=True)
        return 2
    return code if isinstance(code, int) else 0
