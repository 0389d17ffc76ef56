"""Bytes that a density holds, counted before they are taken."""

from __future__ import annotations

from numbers import Integral

from hessay.density.run import FIRST_COLUMNS
from hessay.errors import ArgumentError

_BYTES = 8  # of a float64
_SCRATCH = 8  # vectors of length d beside the bases: products, their copies, projections
MATRICES = 3  # d x d of the exact route: the matrix, its symmetric part, what LAPACK overwrites


class Memory:
    """An account of columns of length d, and of the most that were held at once.

    Parameters
    ----------
    d : int
        Length of a column, float64.
    limit : int
        Bytes.
    """

    def __init__(self, d: int, limit: int) -> None:
        self._d, self._limit = d, limit
        self.peak = 0  # bytes

    def take(self, columns: int) -> bool:
        """Whether this many columns may be held at once; noted when they may."""
        needed = self._bytes(columns)
        if needed > self._limit:
            return False
        self.peak = max(self.peak, needed)
        return True

    def matrix_fits(self) -> bool:
        """Whether the exact route fits."""
        return self._bytes(MATRICES * self._d) <= self._limit

    def require(self, *, exact: bool) -> None:
        """Refuse a limit that not even the first run, or the matrix asked for, fits into.

        Raises
        ------
        ArgumentError
        """
        needed = self._bytes(MATRICES * self._d if exact else 2 * FIRST_COLUMNS)
        if needed > self._limit:
            what = "method 'exact'" if exact else "the shortest run"
            raise ArgumentError(
                f"{what} with d = {self._d} needs {needed} bytes, max_bytes allows {self._limit}; raise it"
                + (", or pass method='sampled'" if exact else "")
            )

    def _bytes(self, columns: int) -> int:
        return (columns + _SCRATCH) * self._d * _BYTES


def check_bytes(limit: object) -> None:
    """Refuse a limit that is no positive integer."""
    if not isinstance(limit, Integral) or int(limit) < 1:
        raise ArgumentError(f"max_bytes must be a positive integer, got {limit!r}")
