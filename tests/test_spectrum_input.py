"""What eigsh takes as an operator: dense, sparse, torch, callables; and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from hessay.errors import ArgumentError, ShapeError
from hessay.spectrum import eigsh

SEED = 20254


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_sparse_matrices_and_torch_callables_are_operators(precision: Any) -> None:
    rng = np.random.default_rng(SEED)
    scattered = sparse.random(200, 200, density=0.05, random_state=rng, format="csr")
    matrix = (scattered + scattered.T + sparse.diags(np.arange(200.0) / 20)).astype(precision)
    dense = matrix.toarray()
    tensor = torch.from_numpy(dense)
    kinds: list[type] = []

    def product(v: Any) -> Any:
        kinds.append(type(v))
        assert v.dtype == tensor.dtype
        return tensor @ v

    parameter = torch.nn.Parameter(tensor)
    operators: list[Any] = [matrix, matrix.tocsc(), matrix.tocoo(), sparse.csr_array(matrix)]
    operators += [tensor, parameter, tensor.to_sparse()]
    operators += [(product, tensor.new_empty(200)), (product, tensor[:, :1])]
    operators += [(lambda v: parameter @ v, tensor.new_empty(200))]
    expected = np.linalg.eigvalsh(dense.astype(np.float64))[::-1][:5]
    for operator in operators:
        pairs = eigsh(operator, 5, "LA", 1e-5)
        assert pairs.vectors.dtype == precision, operator
        np.testing.assert_allclose(pairs.values, expected, rtol=3e-5)
    assert set(kinds) == {torch.Tensor}


def test_integer_matrices_are_computed_in_double() -> None:
    matrix = sparse.csr_matrix(np.diag(np.arange(50)))
    for operator in (matrix, matrix.toarray(), torch.from_numpy(matrix.toarray())):
        np.testing.assert_allclose(eigsh(operator, 2, "LA", 1e-9).values, [49.0, 48.0], rtol=1e-8)


def test_operators_that_are_none_are_refused() -> None:
    class OfTensors:
        shape, dtype = (5, 5), torch.float64

        def __matmul__(self, _: Any) -> Any:
            raise AssertionError("never reached")

    for operator, error, text in [
        (OfTensors(), ArgumentError, r"pass \(operator.__matmul__, tensor\)"),
        ((lambda v: v, torch.empty(5, dtype=torch.float16)), ArgumentError, "float32 or float64"),
        ((lambda v: v, torch.tensor(5.0)), ArgumentError, "positive integer"),
        ((lambda v: v, 0), ArgumentError, "positive integer"),
        ((lambda v: v, "5"), ArgumentError, "positive integer"),
        ((lambda v: v,), ArgumentError, r"\(callable, d\) or"),
        ((5, lambda v: v), ArgumentError, r"\(callable, d\) or"),
        (np.eye(5, dtype=complex), ArgumentError, "must be real"),
        (sparse.eye(5, dtype=complex), ArgumentError, "must be real"),
        (np.ones((5, 4)), ShapeError, "must be square"),
        (sparse.random(5, 4), ShapeError, "must be square"),
        (3.0, ShapeError, "must be square"),
    ]:
        with pytest.raises(error, match=text):
            eigsh(operator, 1)  # type: ignore[arg-type]
