"""Files written by ``torch.save``: what they hold is checked before torch reads them.

Two containers exist. Since torch 1.6 a zip of ``root/data.pkl`` and one stored member per storage,
``root/data/KEY``; before that five pickles in a row followed by the storages. Neither is unpickled
here: the pickles are scanned, and every claimed size is held against the bytes really there.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Final

import torch

from hessay.errors import UntrustedFile
from hessay.loading.pickle_scan import MAX_PICKLE_BYTES, PickleScan, scan_pickle
from hessay.loading.shown import shown

ZIP_MAGIC: Final = b"PK\x03\x04"
_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C  # torch/serialization.py, MAGIC_NUMBER
_EXPORT: Final = "export it with safetensors (safetensors.torch.save_file(model.state_dict(), ...))"


def load_torch_file(path: Path) -> object:
    """Whatever a scanned ``torch.save`` file holds, on the CPU.

    Parameters
    ----------
    path : Path
        A regular, non-empty file.

    Raises
    ------
    UntrustedFile
        The pickle names a global that a state dict of tensors does not need, the scan cannot
        follow it, a size is a lie, or the file is damaged.
    """
    is_zip = _is_zip(path)
    try:
        if is_zip:
            _check_zip(path)
        else:
            _check_legacy(path)
        # The scan above explains a refusal; weights_only=True enforces it in torch as well.
        # A zip is mapped, not read: its storages are copied once, into the model.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except UntrustedFile:
        raise
    # zipfile and torch answer hostile bytes with many types of exception, none of them ours.
    except Exception as error:
        reason = shown(str(error).strip().partition("\n")[0] or type(error).__name__, 200)
        raise UntrustedFile(
            f"refusing {path}: it is damaged or not a torch state dict ({reason}); {_EXPORT}"
        ) from error


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(ZIP_MAGIC)) == ZIP_MAGIC


def _check_zip(path: Path) -> None:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if len(set(names)) != len(names):
            raise UntrustedFile(f"refusing {path}: two members of the zip share a name; {_EXPORT}")
        # torch stores members as they are; a compressed one would inflate without a limit.
        if any(
            m.compress_type or m.flag_bits & 1 or m.file_size != m.compress_size for m in members
        ):
            raise UntrustedFile(
                f"refusing {path}: a member of the zip is compressed or encrypted, "
                f"torch.save writes neither; {_EXPORT}"
            )
        if sum(member.file_size for member in members) > size:
            raise UntrustedFile(
                f"refusing {path}: its members claim more than the {size} bytes of the file"
            )
        sizes = {member.filename: member.file_size for member in members}
        root = names[0].partition("/")[0] if names else ""
        pickles = [name for name in names if name.endswith(".pkl")]
        if pickles != [f"{root}/data.pkl"] or not all(n.startswith(f"{root}/") for n in names):
            raise UntrustedFile(
                f"refusing {path}: not a state dict but another kind of zip (TorchScript, "
                f"torch.export, npz ...; first members {shown(names[:3])}); {_EXPORT}"
            )
        if sizes[pickles[0]] > MAX_PICKLE_BYTES:
            raise _too_long(path)
        scan = scan_pickle(io.BytesIO(archive.read(pickles[0])))
    _refuse_unsafe(path, scan)
    _require_protocol_2(path, scan)
    for key, claimed in scan.storages.items():
        stored = sizes.get(f"{root}/data/{key}", 0)
        if claimed > stored:
            raise UntrustedFile(
                f"refusing {path}: storage {shown(key)!r} claims {claimed} bytes, the file holds {stored}"
            )


def _check_legacy(path: Path) -> None:
    # magic number, protocol, system, state dict, storage keys; then the storages themselves
    size = path.stat().st_size
    with path.open("rb") as file:
        head = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    first = scan_pickle(head)
    _refuse_unsafe(path, first)
    if first.value != _LEGACY_MAGIC:
        raise UntrustedFile(
            f"refusing {path}: neither safetensors nor a file of torch.save "
            f"(a pickle of something else); {_EXPORT}"
        )
    scans = []
    for _ in range(4):
        scans.append(scan_pickle(head))
        if scans[-1].problem and head.tell() >= MAX_PICKLE_BYTES and not scans[-1].refused:
            raise _too_long(path)
        _refuse_unsafe(path, scans[-1])
    for scan in (first, *scans):
        _require_protocol_2(path, scan)
    claims, keys = scans[2].storages, scans[3].value
    # torch leaves a storage that the key list forgets uninitialised: weights out of thin air.
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(claims):
        raise UntrustedFile(f"refusing {path}: its list of storages does not match its tensors")
    if sum(claims.values()) > size - head.tell():
        raise UntrustedFile(
            f"refusing {path}: its list of storages claims {sum(claims.values())} bytes, "
            f"the file holds {size - head.tell()} (truncated?)"
        )


def _refuse_unsafe(path: Path, scan: PickleScan) -> None:
    if scan.refused:
        more = len(scan.refused) - 3
        named = ", ".join(map(shown, scan.refused[:3])) + (f" and {more} more" if more > 0 else "")
        raise UntrustedFile(f"refusing {path}: its pickle calls {named}; {_EXPORT}")
    if scan.problem is not None:
        raise UntrustedFile(
            f"refusing {path}: its pickle cannot be trusted, {shown(scan.problem, 200)}; {_EXPORT}"
        )


def _require_protocol_2(path: Path, scan: PickleScan) -> None:
    if scan.protocol != 2:  # the only one that torch's restricted reader knows
        raise UntrustedFile(
            f"refusing {path}: pickle protocol {scan.protocol}, torch reads 2 without running code; "
            f"save it without pickle_protocol, or {_EXPORT}"
        )


def _too_long(path: Path) -> UntrustedFile:
    return UntrustedFile(
        f"refusing {path}: its pickle is longer than {MAX_PICKLE_BYTES} bytes, "
        f"a state dict needs about 200 per tensor; {_EXPORT}"
    )
