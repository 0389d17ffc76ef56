"""How many threads the native core and torch work with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

from hessay import _core
from hessay.errors import ArgumentError


def resolve_threads(num_threads: object) -> int:
    """Return the number of threads asked for, torch's own setting when there is no wish.

    Raises
    ------
    ArgumentError
        Not a whole number of at least 1.
    """
    if num_threads is None:
        return torch.get_num_threads()
    if isinstance(num_threads, bool) or not isinstance(num_threads, int) or num_threads < 1:
        raise ArgumentError(f"num_threads must be an int of at least 1, got {num_threads!r}")
    return num_threads


def blas_threads(count: int) -> AbstractContextManager[Any]:
    """Limit BLAS to this many threads: to one wherever the core shares out tiles itself.

    The number set before comes back. Of several Python threads the first one's setting holds until
    it leaves, which costs the others time at most.
    """
    limit: AbstractContextManager[Any] = _blas().limit(limits=count, user_api="blas")
    return limit


@contextmanager
def working_threads(count: int) -> Iterator[None]:
    """Let BLAS and torch work with this many threads, and set back what was set before."""
    before = torch.get_num_threads()
    if before != count:
        torch.set_num_threads(count)
    try:
        with blas_threads(count):
            yield
    finally:
        if before != count:
            torch.set_num_threads(before)


@cache
def _blas() -> ThreadpoolController:
    """BLAS libraries of this process; SciPy's, which the core calls, was loaded with the core."""
    assert _core.blas_signature
    return ThreadpoolController().select(user_api="blas")


def limit_torch(num_threads: int) -> None:
    """Let torch use so many threads in this process, from now on."""
    torch.set_num_threads(num_threads)
