"""A probe file holds two plain arrays of the claimed size, or the refusal names it and says why."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from hessay.errors import ProbeError, ShapeError
from hessay.probe import Probe, as_probe


def samples() -> np.ndarray:
    return np.random.default_rng(20240607).standard_normal((6, 2, 3)).astype(np.float32)


def with_value(value: float) -> np.ndarray:
    array = samples()
    array[2, 1, 0] = array[4, 0, 0] = value
    return array


def npz(**arrays: np.ndarray | bytes) -> bytes:
    """A zip of .npy members; bytes are taken as they are."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            if isinstance(array, bytes):
                archive.writestr(f"{name}.npy", array)
            else:
                with archive.open(f"{name}.npy", "w") as member:
                    npy.write_array(member, array, allow_pickle=True)
    return stream.getvalue()


def npy_header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


BAD_FILES = {
    "not a zip": (b"hello", "np.savez"),
    "empty": (b"", "np.savez"),
    "truncated": (npz(inputs=samples())[:-30], "np.savez"),
    "no inputs": (npz(targets=np.arange(3)), "no array 'inputs'"),
    "other arrays": (
        npz(inputs=samples(), labels=np.arange(3)),
        r"unknown arrays \['labels.npy'\]",
    ),
    "objects": (npz(inputs=np.array([[{}]], dtype=object)), "pickled Python objects"),
    "object targets": (npz(inputs=samples(), targets=np.array([{}])), "pickled Python objects"),
    "structured objects": (npz(inputs=npy_header("(1,)", "[('a', '|O')]")), "pickled"),
    "strings": (npz(inputs=np.array([["a"]])), "dtype <U1"),
    "1e12 elements": (npz(inputs=npy_header("(1000000, 1000000)") + b"\0" * 8), "4000000000000"),
    "negative shape": (npz(inputs=npy_header("(-2, -1)") + b"\0" * 8), "cannot be read"),
    "no header": (npz(inputs=b"\x93NUMPY"), "cannot be read"),
    "code in the header": (npz(inputs=npy_header("__import__('os').getcwd()")), "cannot be read"),
    "bytes appended": (npz(inputs=npy_header("(1, 2)") + b"\0" * 12), "holds 12"),
    "nan": (npz(inputs=with_value(np.nan)), "NaN or Inf"),
    "wrong targets": (npz(inputs=samples(), targets=np.arange(3)), "targets must have shape"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_probe_file_is_refused_by_name(tmp_path: Path, case: str) -> None:
    content, reason = BAD_FILES[case]
    path = tmp_path / "probe.npz"
    path.write_bytes(content)
    with pytest.raises((ProbeError, ShapeError), match=reason) as caught:
        Probe.load(path)
    assert str(path) in str(caught.value)


def test_a_zip_bomb_is_refused_before_it_inflates(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    path.write_bytes(npz(inputs=npy_header("(80, 1048576)", "'|i1'") + bytes(80 * 2**20)))
    assert path.stat().st_size < 2**18
    with pytest.raises(ProbeError, match="200 times the file"):
        Probe.load(path)


def test_a_missing_probe_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match=r"no probe file .*nope\.npz"):
        as_probe(tmp_path / "nope.npz")
    with pytest.raises(ProbeError, match="holds no picture"):
        as_probe(str(tmp_path))
