"""No file runs code, claims more than it holds, or ends in anything but a HessayError."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from hessay.errors import UntrustedFile
from hessay.loading import build_architecture, load_model
from hessay.loading.pickle_scan import scan_pickle

ARCH = "mlp:4-3-2"
FEW = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Call:
    """Pickles as ``function(*arguments)``."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.reduced


def touch_by_system(marker: Path) -> Call:
    return Call(os.system, f"touch '{marker}'")


def touch_by_eval(marker: Path) -> Call:
    return Call(builtins.eval, f"__import__('pathlib').Path({str(marker)!r}).touch()")


def touch_by_exec(marker: Path) -> Call:
    return Call(builtins.exec, f"__import__('pathlib').Path({str(marker)!r}).touch()")


BOMBS = [
    pytest.param(touch_by_system, "posix.system", id="os.system"),
    pytest.param(touch_by_eval, "builtins.eval", id="eval"),
    pytest.param(touch_by_exec, "builtins.exec", id="exec"),
]
Bomb = Callable[[Path], Call]


def state() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_architecture(ARCH).state_dict()


def torch_bytes(content: object, *, legacy: bool = False, protocol: int = 2) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def rezip(content: bytes, change: Callable[[str, bytes], bytes], *, deflate: bool = False) -> bytes:
    """The same zip with ``change(name, data)`` in place of each member's data."""
    stream = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", kind) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return stream.getvalue()


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(UntrustedFile, match=path.name) as caught:
        load_model(path, ARCH)
    return str(caught.value)


@pytest.mark.parametrize(("bomb", "name"), BOMBS)
def test_the_bombs_are_live(tmp_path: Path, bomb: Bomb, name: str) -> None:
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(bomb(marker)))
    assert marker.exists(), name


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(("bomb", "name"), BOMBS)
def test_a_raw_pickle_bomb_is_named_and_never_runs(
    tmp_path: Path, bomb: Bomb, name: str, protocol: int
) -> None:
    marker = tmp_path / "marker"
    nested = {"0.weight": np.int64(1), "deep": [({"deeper": bomb(marker)},)]}
    message = refusal(tmp_path / "bomb.pt", pickle.dumps(nested, protocol))
    assert f"its pickle calls {name}" in message
    assert "safetensors" in message
    assert not marker.exists()


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(("bomb", "name"), BOMBS)
def test_a_bomb_inside_a_torch_file_is_named_and_never_runs(
    tmp_path: Path, bomb: Bomb, name: str, protocol: int, legacy: bool
) -> None:
    marker = tmp_path / "marker"
    hidden = {"state_dict": OrderedDict(state()), "epoch": [3, bomb(marker)]}
    content = torch_bytes(hidden, legacy=legacy, protocol=protocol)
    for suffix in (".pt", ".pth", ".bin", ".weights"):
        message = refusal(tmp_path / f"bomb{suffix}", content)
        assert f"its pickle calls {name}" in message
    refusal(tmp_path / "bomb.safetensors", content)
    assert not marker.exists()


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_whole_pickled_module_is_refused_by_its_class(tmp_path: Path, legacy: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 2))
    message = refusal(tmp_path / "module.pt", torch_bytes(module, legacy=legacy))
    assert "torch.nn.modules.container.Sequential" in message


OPCODES = {
    "INST": b"(S'touch MARKER'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch MARKER'\no.",
    "REDUCE": b"cos\nsystem\n(S'touch MARKER'\ntR.",
    "python 2 name": b"c__builtin__\neval\n(S'1'\ntR.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch MARKER\x85R.",
    "names from the memo": b"\x80\x04\x8c\x02os\x940\x8c\x06system\x940h\x00h\x01\x93\x8c\x011\x85R.",
    "dotted name": b"\x80\x04\x8c\x04code\x8c\x11interact.__call__\x93)R.",
    "NEWOBJ": b"\x80\x02csubprocess\nPopen\nX\x04\x00\x00\x00true\x85\x81.",
    "NEWOBJ_EX": b"\x80\x04\x8c\x0asubprocess\x8c\x05Popen\x93\x8c\x04true\x85}\x92.",
    "hidden by POP": b"cos\nsystem\n0}.",
    "after an allowed call": b"\x80\x02ccollections\nOrderedDict\n)R0cos\nsystem\nX\x01\x00\x00\x001\x85R.",
    "damaged behind the call": b"cos\nsystem\n(S'touch MARKER'\ntR\xff\xff",
}


@pytest.mark.parametrize("form", OPCODES)
def test_every_opcode_that_calls_is_seen(tmp_path: Path, form: str) -> None:
    marker = tmp_path / "m"
    content = OPCODES[form].replace(b"touch MARKER", b"touch m     ")
    message = refusal(tmp_path / "bomb.pt", content)
    assert "its pickle calls" in message
    assert any(
        name in message for name in ("os.system", "builtins.eval", "code.", "subprocess.Popen")
    )
    assert not marker.exists()
    assert not Path("m").exists()


UNDECIDABLE = {
    "extension registry": b"\x80\x02\x82\x01.",
    "computed name": b"\x80\x04\x8c\x02os}\x93.",
    "calls a result": b"\x80\x02ccollections\nOrderedDict\n)R)R.",
    "state of a tensor type": b"\x80\x02ctorch\nSize\n)R}b.",
    "allocates": b"\x80\x02ctorch.storage\nUntypedStorage\n\x8a\x06\x00\x00\x00\x00\x00\x10\x85R.",
    "one storage, two sizes": (
        b"\x80\x02(X\x07\x00\x00\x00storageq\x00ctorch\nFloatStorage\nq\x01X\x01\x00\x00\x000q\x02"
        b"X\x03\x00\x00\x00cpuq\x03K\x02tQ(h\x00h\x01h\x02h\x03K\x03tQ."
    ),
    "text persistent id": b"Pstorage\n.",
    "unknown persistent id": b"\x80\x02X\x06\x00\x00\x00module\x85Q.",
    "stack underflow": b"\x80\x02R.",
    "missing memo": b"\x80\x02h\x07.",
    "memo of a mark": b"\x80\x02(q\x00.",
    "out of band buffer": b"\x80\x05\x97.",
    "no STOP": b"\x80\x02}",
    "a length of 2**62": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "nothing at all": b".",
}


@pytest.mark.parametrize("case", UNDECIDABLE)
def test_what_the_scan_cannot_follow_is_refused(tmp_path: Path, case: str) -> None:
    assert "cannot be trusted" in refusal(tmp_path / "odd.pt", UNDECIDABLE[case])


def test_the_scan_names_what_a_naive_opcode_listing_names() -> None:
    for content in (state(), torch.nn.Linear(2, 2), {"a": touch_by_system(Path("m"))}):
        with zipfile.ZipFile(io.BytesIO(torch_bytes(content))) as archive:
            data = archive.read("archive/data.pkl")
        listed = {
            str(argument).replace(" ", ".")
            for opcode, argument, _ in pickletools.genops(data)
            if opcode.name == "GLOBAL"
        }
        state_dict_names = {
            "collections.OrderedDict",
            "torch._utils._rebuild_tensor_v2",
            "torch._utils._rebuild_parameter",
            "torch.FloatStorage",
        }
        refused = {
            name.replace("builtins", "__builtin__")
            for name in scan_pickle(io.BytesIO(data)).refused
        }
        assert refused == {name for name in listed if name not in state_dict_names}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path, legacy: bool) -> None:
    huge = {"0.weight": torch.zeros(1).expand(10**12)}
    message = refusal(tmp_path / "huge.pt", torch_bytes(huge, legacy=legacy))
    assert "1000000000000 elements" in message


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_storage_that_claims_more_than_the_file_is_refused(tmp_path: Path, legacy: bool) -> None:
    # BININT1 12, the element count of 0.weight, becomes LONG1 of 2**40 in the storage tuple.
    content = torch_bytes(state(), legacy=legacy)
    honest, lie = b"cpuq\x07K\x0c", b"cpuq\x07\x8a\x06" + (2**40).to_bytes(6, "little")
    assert honest in content
    if legacy:
        lying = content.replace(honest, lie)
    else:
        lying = rezip(content, lambda _, data: data.replace(honest, lie))
    # 2**40 floats; the other storages of the legacy file are claimed honestly.
    claimed = 2**42 + (4 * (3 + 6 + 2) if legacy else 0)
    assert f"claims {claimed} bytes" in refusal(tmp_path / "lie.pt", lying)


def test_a_legacy_file_that_leaves_a_storage_unfilled_is_refused(tmp_path: Path) -> None:
    # torch fills the storages in the key list; a key left out would leave memory as it was.
    content = torch_bytes(state(), legacy=True)
    keys = content.rindex(b"\x80\x02]q\x00(")
    listed = pickle.loads(content[keys:])
    end = keys + len(pickle.dumps(listed, 2))
    assert content[keys:end] == pickle.dumps(listed, 2)
    forgetful = content[:keys] + pickle.dumps(listed[:-1], 2) + content[end:]
    assert "does not match its tensors" in refusal(tmp_path / "legacy.pt", forgetful)


def test_zip_members_that_overlap_are_refused(tmp_path: Path) -> None:
    content = bytearray(torch_bytes(state()))
    directory = content.rindex(b"PK\x01\x02", 0, content.rindex(b"archive/data/0"))
    # Central directory, sizes at offset 20 and 24 (APPNOTE 4.3.12).
    content[directory + 20 : directory + 28] = struct.pack("<2I", len(content), len(content))
    assert "claim more than" in refusal(tmp_path / "overlap.pt", bytes(content))


def test_a_zip_that_is_not_as_torch_writes_it_is_refused(tmp_path: Path) -> None:
    content = torch_bytes(state())
    path = tmp_path / "odd.pt"
    assert "compressed" in refusal(path, rezip(content, lambda _, data: data, deflate=True))

    twice = io.BytesIO(content)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(twice, "a") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n.")
    assert "share a name" in refusal(path, twice.getvalue())

    for extra in ("other/data.pkl", "archive/constants.pkl", "outside"):
        more = io.BytesIO(content)
        with zipfile.ZipFile(more, "a") as archive:
            archive.writestr(extra, b"}.")
        assert "another kind of zip" in refusal(path, more.getvalue())
