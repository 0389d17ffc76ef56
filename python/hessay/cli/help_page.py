"""What a command says about itself with ``--help``, laid out like a manual page."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import typer.core

INTERRUPTED = {130: "stopped by Ctrl-C"}

# What options are about, by the names their parameters have in every command.
_GROUPS: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "MODEL AND DATA",
        frozenset(
            [
                "arch",
                "data",
                "probe",
                "model",
                "preprocessing",
                "wrt",
                "references",
                "holdout",
                "report",
                "suspects",
                "target",
                "exclude",
                "keep",
                "max_pictures",
                "rows",
                "inputs",
                "classes",
                "theta",
                "strength",
                "source",
                "batch",
                "n",
                "like",
                "epochs",
                "history",
                "series",
                "threads",
                "device",
            ]
        ),
    ),
    (
        "DECISION",
        frozenset(
            [
                "alpha",
                "fdr",
                "power",
                "ridge",
                "horizon",
                "draws",
                "criterion",
                "direction",
                "n_features",
                "max_features",
                "rows_report",
                "max_accuracy_loss",
                "pass_inconclusive",
                "rules",
                "seed",
            ]
        ),
    ),
    ("WHEN", frozenset(["once", "until_alarm", "every", "settle", "max_seconds"])),
    ("NETWORK", frozenset(["host", "port", "token_file", "allow_host"])),
    (
        "OUTPUT",
        frozenset(
            ["format_", "json", "output", "html", "export", "inconclusive", "top", "out", "force"]
        ),
    ),
    ("GENERAL", frozenset(["quiet", "debug", "help"])),
)


@dataclass(frozen=True, slots=True)
class Page:
    """The texts of one command."""

    summary: str  # one sentence, for the list of commands
    description: str  # one paragraph
    examples: tuple[tuple[str, str], ...]  # what it does, the command line
    exit_status: Mapping[int, str]  # code to meaning; INTERRUPTED applies to every command
    environment: tuple[str, ...] = ()  # of VARIABLES
    see_also: tuple[str, ...] = ()


VARIABLES: Mapping[str, str] = {
    "OMP_NUM_THREADS": "Threads of torch and of the BLAS library; hessay doctor shows it. Several "
    "commands at once are quickest with 1 each.",
    "HESSAY_ISA": "Instruction set of the native kernels: baseline, avx2 or avx512. The "
    "best of the processor by default.",
    "HF_HUB_CACHE": "Folder in which models named hf:ORG/NAME@REVISION are looked up; nothing is "
    "fetched.",
    "HF_HOME": "Its folder hub is used where HF_HUB_CACHE is not set; ~/.cache/huggingface by "
    "default.",
    "HESSAY_TOKEN": "The token that is asked for, where no --token-file is given.",
    "NO_COLOR": "With any value, no colours on a terminal.",
}


COMPUTING: Final = ("OMP_NUM_THREADS", "HESSAY_ISA")
MODELS: Final = (*COMPUTING, "HF_HUB_CACHE", "HF_HOME")


class Documented(typer.core.TyperCommand):
    """A command whose help has the sections of a manual page."""

    page: Page  # set by :func:`documented`

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, description, grouped arguments, and the sections of the page."""
        self.format_usage(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(self.page.description)
        for title, rows in _grouped(self, ctx):
            _section(formatter, title, rows)
        formatter.write_paragraph()
        formatter.write("EXAMPLES\n")
        for number, (words, line) in enumerate(self.page.examples):
            formatter.write("\n" if number else "")
            with formatter.indentation():
                formatter.write_text(f"{words}:")
            formatter.write(_shell_lines(line))
        codes = {**self.page.exit_status, **INTERRUPTED}
        _section(formatter, "EXIT STATUS", [(str(code), codes[code]) for code in sorted(codes)])
        if self.page.environment:
            rows = [(name, VARIABLES[name]) for name in self.page.environment]
            _section(formatter, "ENVIRONMENT", rows)
        if self.page.see_also:
            formatter.write_paragraph()
            formatter.write("SEE ALSO\n")
            with formatter.indentation():
                formatter.write_text(", ".join(self.page.see_also))


def _shell_lines(line: str) -> str:
    """Break a command line where a shell reads on."""
    parts = textwrap.wrap(line, 72, break_long_words=False, break_on_hyphens=False)
    return "    " + " \\\n      ".join(parts) + "\n"


def documented(page: Page) -> type[Documented]:
    """Make the class of a command that has this page."""
    return type("Documented", (Documented,), {"page": page})


def _grouped(command: Any, ctx: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """Sort arguments and options into their groups; what has none comes under OPTIONS."""
    groups: dict[str, list[tuple[str, str]]] = {"ARGUMENTS": []}
    groups |= {title: [] for title, _ in _GROUPS} | {"OPTIONS": []}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        title = "ARGUMENTS"
        if parameter.param_type_name != "argument":
            found = (t for t, names in _GROUPS if parameter.name in names)
            title = next(found, "OPTIONS")
        groups[title].append(record)
    return [(title, rows) for title, rows in groups.items() if rows]


def _section(formatter: Any, title: str, rows: list[tuple[str, str]]) -> None:
    formatter.write_paragraph()
    formatter.write(f"{title}\n")
    with formatter.indentation():
        formatter.write_dl(rows, col_max=26)
