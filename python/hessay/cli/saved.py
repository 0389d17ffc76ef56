"""Reports that an earlier command saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hessay.errors import ArgumentError

if TYPE_CHECKING:
    from hessay.report import Report

_MOST_BYTES = 64 << 20  # a report of 1000 classes has half a megabyte


def read_report(path: str) -> Report:
    """Read a report in JSON.

    Raises
    ------
    ArgumentError
        It cannot be read, is no report, or is longer than any.
    """
    from hessay.report import Report

    try:
        with Path(path).open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ArgumentError(f"over {_MOST_BYTES} bytes, no report is so long")
        return Report.from_json(text)
    except ArgumentError as error:
        raise ArgumentError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"cannot read the report {path}: {error}; write it with hessay scan --json -o {path}"
        ) from None
