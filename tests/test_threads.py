"""The core's own threads: BLAS keeps to one meanwhile and gets its number back, Ctrl-C still works."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from hessay.errors import ArgumentError
from hessay.hessian.threads import blas_threads, resolve_threads, working_threads


def numbers() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_blas_runs_on_one_thread_and_gets_its_number_back() -> None:
    with threadpool_limits(3, user_api="blas"):
        with blas_threads(1):
            with blas_threads(1):
                assert numbers() == {1}
            assert numbers() == {1}
        assert numbers() == {3}
        with contextlib.suppress(KeyError), blas_threads(1):
            raise KeyError
        assert numbers() == {3}


def test_other_python_threads_leave_the_number_as_it_was() -> None:
    def work() -> None:
        with blas_threads(1):
            pass

    with threadpool_limits(3, user_api="blas"):
        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=60)
        assert numbers() == {3}


def test_torch_and_blas_work_with_the_number_asked_for() -> None:
    before = torch.get_num_threads()
    with threadpool_limits(3, user_api="blas"):
        with working_threads(2):
            assert torch.get_num_threads() == 2
            assert numbers() == {2}
        assert torch.get_num_threads() == before
        assert numbers() == {3}
        with contextlib.suppress(KeyError), working_threads(2):
            raise KeyError
        assert torch.get_num_threads() == before


def test_torchs_own_number_is_the_default() -> None:
    assert resolve_threads(None) == torch.get_num_threads()
    assert resolve_threads(5) == 5


@pytest.mark.parametrize("wish", [0, -1, 2.0, True, "2"])
def test_unfit_numbers_of_threads_are_refused(wish: Any) -> None:
    with pytest.raises(ArgumentError, match="num_threads must be an int of at least 1"):
        resolve_threads(wish)
