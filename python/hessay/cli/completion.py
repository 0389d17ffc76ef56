"""``hessay completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

import enum
import importlib
from typing import Annotated, Any

import typer

from hessay.cli.streams import emit, guarded

VARIABLE = "_HESSAY_COMPLETE"


class Shell(str, enum.Enum):
    """Shells there is a script for."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="Of which shell.")],
) -> int:
    """Print a completion script. In bash: eval "$(hessay completion bash)"."""

    def body() -> int:
        shells: Any = importlib.import_module("typer.completion")
        script = shells.get_completion_script(
            prog_name="hessay", complete_var=VARIABLE, shell=shell.value
        )
        emit(f"{script}\n")
        return 0

    return guarded(body)
