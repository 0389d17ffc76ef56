"""What goes to stdout, what to stderr, and how everything that goes wrong ends in one line."""

from __future__ import annotations

import contextlib
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from hessay._printable import printable
from hessay.errors import ArgumentError, HessayError

Progress = Callable[[str, float], None]

_MOST_LETTERS = 1000  # of one message: an error must not scroll the reader's terminal away


def complain(message: str, kind: str = "error") -> None:
    """Write one harmless line to stderr."""
    line = printable(" ".join(message.split()))
    line = line if len(line) <= _MOST_LETTERS else line[:_MOST_LETTERS] + " ..."
    with contextlib.suppress(OSError, ValueError):  # a closed stderr is no reason to fail
        sys.stderr.write(f"hessay: {kind}: {line}\n")
        sys.stderr.flush()


def emit(content: str) -> None:
    """Write a result to stdout, completely.

    Raises
    ------
    ArgumentError
        stdout is closed or full. A result that nobody got is no result.
    """
    try:
        sys.stdout.write(content)
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        raise ArgumentError(f"cannot write the result to stdout: {error}") from None


def guarded(body: Callable[[], int], *, debug: bool = False) -> int:
    """Run ``body`` and turn everything it can raise into one line and an exit code.

    Returns
    -------
    int
        What ``body`` returned; 2 after an error, 130 after Ctrl-C. Never 0 after an error: not
        even ``SystemExit(0)``, which a model's own code could raise to look clean.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return body()
    except KeyboardInterrupt:
        complain("stopped by the keyboard; no verdict", "interrupted")
        return 130
    except HessayError as error:
        _trace(debug)
        complain(str(error))
    except BaseException as error:  # noqa: BLE001 - the last place an error can go
        _trace(debug)
        hint = "" if debug else "; --debug shows where"
        if isinstance(error, ImportError):
            hint = "; hessay doctor says what is missing"
        complain(f"unexpected {type(error).__name__}: {_words(error)}{hint}")
    return 2


def _words(error: BaseException) -> str:
    try:
        return str(error) or "no message"
    except Exception:  # noqa: BLE001 - a hostile class may raise in __str__
        return "its message cannot be shown"


def _trace(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def _show_warning(message: Warning | str, *_place: Any, **_more: Any) -> None:
    complain(str(message), "warning")


@contextlib.contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress | None]:
    """Give a progress function that draws on stderr; None when nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def tell(phase: str, share: float) -> None:
            bar.update(task, description=escape(phase), completed=share)

        yield tell
