"""The command line: ``hessay scan``, ``calibrate``, ``rank``, ``repair``, ``plan``, ``export`` and more.

Exit codes of ``scan``: 0 CLEAN, 1 FLAGGED, 2 could not run, 3 INCONCLUSIVE; 130 after Ctrl-C. Those of
the other commands mean the like; :mod:`hessay.cli.help_pages` says what. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; nothing is raised.

    Parameters
    ----------
    arguments : sequence of str or None
        Without the program's name; None takes them from ``sys.argv``.

    Returns
    -------
    int
        0, 1, 2, 3 or 130, see above.
    """
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal's encoding cannot show must not end the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        from hessay.cli.app import run
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("typer", "click", "rich"):
            raise
        print(  # noqa: T201
            f"hessay: the command line needs {error.name}, which is not installed; "
            "pip install 'hessay[cli]'",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("hessay: interrupted", file=sys.stderr)  # noqa: T201
        return 130
    return run(arguments)
