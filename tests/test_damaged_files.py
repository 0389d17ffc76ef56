"""Damaged and lying files of every kind end in a HessayError that names them, and cost nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from hessay.errors import HessayError, ModelError, UntrustedFile
from hessay.loading import build_architecture, load_model, read_state
from hessay.probe import Probe

ARCH = "mlp:4-3-2"
FEW = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def state() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_architecture(ARCH).state_dict()


def torch_bytes(content: object, *, legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(UntrustedFile, match=path.name) as caught:
        load_model(path, ARCH)
    return str(caught.value)


def safetensors_bytes(header: object, data: bytes = b"\0" * 8) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(start: int, stop: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_safetensors_truncated_anywhere_is_refused(tmp_path: Path) -> None:
    content = save(state())
    header = 8 + int.from_bytes(content[:8], "little")
    path = tmp_path / "cut.safetensors"
    assert set(read_state_of(path, content)) == set(state())
    for length in [*range(1, 24), header - 1, header, header + 1, len(content) - 1]:
        refusal(path, content[:length])
    assert "empty" in refusal(path, b"")
    assert "appended" in refusal(path, content + b"\0")


def read_state_of(path: Path, content: bytes) -> dict[str, torch.Tensor]:
    path.write_bytes(content)
    return read_state(path)


LYING_HEADERS = {
    "length 2**62": ((2**62).to_bytes(8, "little") + b"{}", "header claims"),
    "1e12 elements": (safetensors_bytes({"a": entry(0, 8, [10**12])}), "needs 4000000000000 bytes"),
    "1e12 elements, consistent": (
        safetensors_bytes({"a": entry(0, 4 * 10**12, [10**12])}),
        "claims 4000000000000 bytes",
    ),
    "overflowing shape": (safetensors_bytes({"a": entry(0, 8, [2**63, 2])}), "needs"),
    "overlap": (safetensors_bytes({"a": entry(0, 8, [2]), "b": entry(4, 8, [1])}), "inside"),
    "hole": (safetensors_bytes({"a": entry(4, 8, [1])}), "hole"),
    "offset beyond the end": (safetensors_bytes({"a": entry(0, 16, [4])}), "claims 16 bytes"),
    "backwards": (safetensors_bytes({"a": entry(8, 0, [2])}), "span"),
    "negative": (safetensors_bytes({"a": entry(-8, 0, [2])}), "malformed"),
    "boolean size": (safetensors_bytes({"a": entry(0, 4, [True])}), "malformed"),
    "no shape": (safetensors_bytes({"a": {"dtype": "F32"}}), "malformed"),
    "unknown dtype": (safetensors_bytes({"a": entry(0, 8, [1], "Q64")}), "dtype"),
    "duplicate": (
        safetensors_bytes(b'{"a":%s,"a":%s}' % ((json.dumps(entry(0, 8, [2])).encode(),) * 2)),
        "twice",
    ),
    "not an object": (safetensors_bytes([1, 2]), "not a JSON object"),
    "not JSON": (safetensors_bytes(b"{nonsense"), "Expecting"),
    "not UTF-8": (safetensors_bytes(b"{\xff\xfe}"), "utf-8"),
    "nested too deep": (safetensors_bytes(b"[" * 200_000), "recursion"),
    "a number of 5000 digits": (safetensors_bytes(b'{"a":' + b"9" * 5000 + b"}"), "digits"),
}


@pytest.mark.parametrize("case", LYING_HEADERS)
def test_a_lying_safetensors_header_is_refused(tmp_path: Path, case: str) -> None:
    content, reason = LYING_HEADERS[case]
    assert reason in refusal(tmp_path / "lie.safetensors", content)


def test_names_from_a_file_cannot_flood_or_rewrite_the_terminal(tmp_path: Path) -> None:
    for name in ("x" * 10**6, "\x1b[2J\x1b[Hall clear\r\n"):
        header = {name: entry(0, 4, [1]), "b": entry(4, 8, [7])}
        messages = [refusal(tmp_path / "names.safetensors", safetensors_bytes(header))]
        torch.save({name: torch.ones(1)}, tmp_path / "names.pt")
        with pytest.raises(ModelError) as caught:
            load_model(tmp_path / "names.pt", ARCH)
        messages.append(str(caught.value))
        bomb = b"c" + name.replace("\n", "").encode() + b"\nsystem\n."
        messages.append(refusal(tmp_path / "bomb.pt", bomb))
        for message in messages:
            assert len(message) < 600 + len(str(tmp_path))
            assert message.isprintable()


@FEW
@given(content=st.binary(max_size=300))
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz"])
def test_random_bytes_end_in_a_hessay_error(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(content)
    with pytest.raises(HessayError, match="noise"):
        Probe.load(path) if suffix == ".npz" else load_model(path, ARCH)


def probe_bytes() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, inputs=np.arange(12.0).reshape(4, 3), targets=np.arange(4))
    return stream.getvalue()


GOOD = {
    "zip.pt": torch_bytes(state()),
    "legacy.pt": torch_bytes(state(), legacy=True),
    "good.safetensors": save(state()),
    "good.npz": probe_bytes(),
}


@FEW
@given(data=st.data())
@pytest.mark.parametrize("name", GOOD)
def test_flipped_bytes_load_or_end_in_a_hessay_error(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    content = bytearray(GOOD[name])
    # Mostly the structured ends of the file: header, pickle, central directory.
    near = st.integers(0, min(900, len(content) - 1)) | st.integers(0, len(content) - 1)
    for position in data.draw(st.lists(near, min_size=1, max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    path = tmp_path / name
    path.write_bytes(content)
    finite, message = True, name
    try:
        if name == "good.npz":
            finite = bool(torch.isfinite(Probe.load(path).inputs).all())
        else:
            finite = all(bool(v.isfinite().all()) for v in load_model(path, ARCH).parameters())
    except HessayError as error:
        message = str(error)
    assert finite
    assert name in message
