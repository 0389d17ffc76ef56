"""A probe is checked once, owns its data, and is the same whatever it was made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.utils.data import DataLoader, TensorDataset

from hessay.errors import ArgumentError, ProbeError, ShapeError
from hessay.probe import Probe, as_probe

SEED = 20240607
FEW = settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def samples(n: int = 6, *shape: int) -> np.ndarray:
    return np.random.default_rng(SEED).standard_normal((n, *(shape or (2, 3)))).astype(np.float32)


def finite_inputs() -> st.SearchStrategy[np.ndarray]:
    shapes = hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=4)
    values = st.floats(-1e6, 1e6, width=32)
    arrays = hnp.arrays(st.sampled_from([np.float32, np.float64]), shapes, elements=values)
    return arrays.filter(varies)


def varies(x: np.ndarray) -> bool:
    rows = x if len(x) > 1 else x.reshape(-1)
    return len(rows) > 1 and any(not np.array_equal(row, rows[0]) for row in rows)


def test_a_probe_reports_what_it_holds() -> None:
    probe = Probe(samples(6, 1, 4, 5), targets=[0, 1, 2, 0, 1, 2])
    assert (probe.n, probe.shape, probe.d) == (6, (1, 4, 5), 20)
    assert probe.flat.shape == (6, 20)
    assert probe.flat.data_ptr() == probe.inputs.data_ptr()
    assert probe.targets is not None
    assert probe.targets.dtype == torch.int64
    assert len(repr(probe)) < 100


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
def test_later_changes_to_the_data_do_not_reach_the_probe(make: type) -> None:
    array, labels = samples(), np.arange(6)
    probe = Probe(make(array), make(labels))
    before = probe.inputs.clone()
    array[:] = 7.0
    labels[:] = 5
    assert torch.equal(probe.inputs, before)
    assert probe.targets is not None
    assert probe.targets.tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(dataclasses.FrozenInstanceError):
        probe.inputs = before  # type: ignore[misc]


def test_memory_layout_does_not_change_the_digest() -> None:
    array = samples(6, 4, 4)
    frozen = array.copy()
    frozen.setflags(write=False)
    wide = np.repeat(array, 2, axis=2)
    same = [
        array,
        frozen,
        np.asfortranarray(array),
        wide[:, :, ::2],
        array[::-1].copy()[::-1],
        array.astype(">f4"),
        torch.from_numpy(array),
        torch.from_numpy(array).requires_grad_(),
        torch.from_numpy(array).mT.contiguous().mT,
    ]
    digests = {Probe(x).digest for x in same}  # type: ignore[arg-type]
    assert len(digests) == 1
    assert not Probe(torch.from_numpy(array).requires_grad_()).inputs.requires_grad


def test_precision_is_widened_but_never_narrowed() -> None:
    array = samples()
    assert Probe(array.astype(np.float64)).inputs.dtype == torch.float64
    assert Probe(array.astype(np.float16)).inputs.dtype == torch.float32
    assert Probe(torch.from_numpy(array).bfloat16()).inputs.dtype == torch.float32


def test_a_probe_made_in_inference_mode_takes_part_in_derivatives() -> None:
    with torch.inference_mode():
        probe = Probe(torch.from_numpy(samples()).clone())
    inputs = probe.inputs.requires_grad_()
    assert torch.autograd.grad(inputs.square().sum(), inputs)[0].shape == probe.inputs.shape


@FEW
@given(array=finite_inputs(), data=st.data())
def test_the_digest_changes_exactly_with_the_content(
    array: np.ndarray, data: st.DataObject
) -> None:
    digest = Probe(array).digest
    assert Probe(array.copy(order="F")).digest == digest
    assert Probe(array, targets=[0] * len(array)).digest != digest
    assert Probe(array[..., None]).digest != digest
    assert Probe(array.astype(np.float64)).digest == digest or array.dtype == np.float32
    position = data.draw(st.integers(0, array.size - 1))
    changed = array.copy()
    changed.flat[position] = np.nextafter(changed.flat[position], array.dtype.type(np.inf))
    assume(varies(changed))
    assert Probe(changed).digest != digest


@FEW
@given(array=finite_inputs(), labelled=st.booleans(), compressed=st.booleans())
def test_a_probe_file_round_trips(
    tmp_path: Path, array: np.ndarray, labelled: bool, compressed: bool
) -> None:
    arrays = {"inputs": array} | ({"targets": np.arange(len(array))} if labelled else {})
    path = tmp_path / "probe.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    loaded = Probe.load(path)
    assert loaded.digest == Probe(array, arrays.get("targets")).digest
    np.testing.assert_array_equal(loaded.inputs.numpy(), array)


def with_value(value: float) -> np.ndarray:
    array = samples()
    array[2, 1, 0] = array[4, 0, 0] = value
    return array


BAD_INPUTS = {
    "nan": (with_value(np.nan), ProbeError, r"2 values .* \(nan\) at index \(2, 1, 0\)"),
    "inf": (with_value(np.inf), ProbeError, "NaN or Inf"),
    "integers": (np.ones((3, 2), dtype=np.uint8), ProbeError, "convert them to float32"),
    "short integers": (np.eye(3, dtype=np.int16), ProbeError, "token ids to int64"),
    "booleans": (np.eye(3, dtype=bool), ProbeError, "dtype bool"),
    "complex": (np.eye(3) * 1j, ProbeError, "dtype complex"),
    "objects": (np.array([[1.0, None]]), ProbeError, "dtype object"),
    "strings": (np.array([["a", "b"]]), ProbeError, "dtype <U1"),
    "long double": (np.eye(3, dtype=np.longdouble), ProbeError, "float64"),
    "masked": (np.ma.masked_array(np.eye(3), mask=np.eye(3)), ProbeError, "masked"),
    "sparse": (torch.eye(3).to_sparse(), ProbeError, "sparse"),
    "meta": (torch.empty(3, 3, device="meta"), ProbeError, "meta"),
    "list": ([[1.0, 2.0]], ProbeError, "list"),
    "no sample axis": (np.arange(5.0), ShapeError, r"got \(5,\)"),
    "scalar": (np.array(1.0), ShapeError, r"got \(\)"),
    "no inputs": (np.ones((0, 4)), ShapeError, r"got \(0, 4\)"),
    "no features": (np.ones((4, 0)), ShapeError, r"got \(4, 0\)"),
    "constant": (np.full((4, 3), 0.5), ProbeError, "all 4 inputs are the same"),
    "identical rows": (np.tile(np.arange(3.0), (4, 1)), ProbeError, "the same"),
    "one flat field": (np.zeros((1, 9)), ProbeError, "constant"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_inputs_that_make_no_probe_are_refused_with_the_reason(case: str) -> None:
    inputs, kind, reason = BAD_INPUTS[case]
    with pytest.raises(kind, match=reason):
        Probe(inputs)  # type: ignore[arg-type]


BAD_TARGETS = {
    "length": (np.arange(5), ShapeError, r"shape \(6,\).*got \(5,\)"),
    "one-hot": (np.eye(6, dtype=int), ShapeError, "argmax"),
    "float of another length": (np.arange(5.0), ShapeError, r"shape \(6,\) or \(6, C\), .*\(5,\)"),
    "float in three axes": (np.ones((6, 2, 2)), ShapeError, r"got \(6, 2, 2\)"),
    "float without columns": (np.ones((6, 0)), ShapeError, r"got \(6, 0\)"),
    "nan": (np.array([0, 1, np.nan, 2, np.nan, 3]), ProbeError, "of 2 inputs .* first of input 2"),
    "inf rows": (np.full((6, 2), np.inf), ProbeError, "of 6 inputs are NaN or Inf"),
    "bool": (np.arange(6) > 2, ProbeError, "dtype bool"),
    "negative": (np.arange(6) - 1, ProbeError, "target -1 of input 0"),
    "beyond int64": (np.full(6, 2**63, dtype=np.uint64), ProbeError, "negative"),
    "ragged": ([[1], [1, 2]], ProbeError, "class numbers"),
    "a number": (3, ProbeError, "class numbers"),
    "words": (["cat"] * 6, ProbeError, "dtype"),
    "empty": ([], ShapeError, r"got \(0,\)"),
}


def test_known_digests_do_not_change() -> None:
    inputs = np.arange(6, dtype=np.float32).reshape(3, 2)
    known = {
        "bare": Probe(inputs).digest,
        "labelled": Probe(inputs, [0, 1, 2]).digest,
        "double": Probe(inputs.astype(np.float64), [0, 1, 2]).digest,
    }
    assert {name: digest[:16] for name, digest in known.items()} == {
        "bare": "09b45d49114ceee9",
        "labelled": "594a213382fae850",
        "double": "b9d5ba2ba507d34d",
    }


@pytest.mark.parametrize("case", BAD_TARGETS)
def test_targets_that_are_no_class_numbers_are_refused(case: str) -> None:
    targets, kind, reason = BAD_TARGETS[case]
    with pytest.raises(kind, match=reason):
        Probe(samples(), targets)  # type: ignore[arg-type]


def test_every_source_of_the_same_data_gives_the_same_probe(tmp_path: Path) -> None:
    x, y = torch.from_numpy(samples(10)), torch.arange(10)
    np.savez(tmp_path / "p.npz", inputs=x.numpy(), targets=y.numpy())
    probe = Probe(x, y)
    data = TensorDataset(x, y)
    batches = [(x[:4], y[:4]), (x[4:], y[4:])]
    sources = [probe, (x, y), tmp_path / "p.npz", str(tmp_path / "p.npz"), data, batches]
    sources += [DataLoader(data, batch_size=3), iter(batches)]
    assert {as_probe(source).digest for source in sources} == {probe.digest}
    assert as_probe(probe) is probe
    assert as_probe([x[:5], x[5:]]).digest == Probe(x).digest == as_probe(x).digest


def test_a_loader_gives_its_first_n_inputs() -> None:
    x, y = torch.from_numpy(samples(10)), torch.arange(10)
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    assert Probe.from_loader(loader, n=6).digest == Probe(x[:6], y[:6]).digest
    assert Probe.from_loader(loader, n=100).n == 10
    endless = ((x, y) for _ in iter(int, 1))
    assert Probe.from_loader(endless, n=15).n == 15


def test_a_shuffling_loader_is_not_deterministic() -> None:
    generator = torch.Generator().manual_seed(SEED)
    x = torch.from_numpy(samples(32))
    loader = DataLoader(TensorDataset(x), batch_size=8, shuffle=True, generator=generator)
    with pytest.raises(ProbeError, match=r"differ in \d+ of 32 inputs; turn off shuffling"):
        Probe.from_loader(loader)
    assert Probe.from_loader(loader, check=False).n == 32


def raising() -> Iterator[torch.Tensor]:
    yield torch.eye(3)
    raise OSError("disk on fire")


X = torch.eye(3)
BAD_LOADERS = {
    "empty": ([], "yields nothing"),
    "raises": (raising(), "OSError at batch 1: disk on fire"),
    "dicts": ([{"x": X}], "batch 0 are dict"),
    "empty batch": ([(X[:0], X[:0])], "batch 0 of the loader is empty"),
    "two shapes": ([X, torch.ones(3, 4)], "one shape"),
    "some labelled": ([(X, torch.arange(3)), (X + 1,)], "some batches have targets"),
    "short targets": ([(X, torch.arange(2))], "batch 0 has 3 inputs"),
    "words": ([(X, "abc")], "batch 0"),
}


@pytest.mark.parametrize("case", BAD_LOADERS)
def test_a_loader_that_makes_no_probe_is_refused(case: str) -> None:
    loader, reason = BAD_LOADERS[case]
    with pytest.raises((ProbeError, ShapeError), match=reason):
        as_probe(loader)


def test_nonsense_is_refused_with_what_to_pass() -> None:
    with pytest.raises(ProbeError, match="NoneType"):
        as_probe(None)
    with pytest.raises(ArgumentError, match="got 0"):
        Probe.from_loader([X], n=0)
