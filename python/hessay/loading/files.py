"""One entry for every file of weights: which container it is, and whether it is a state dict."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from hessay.errors import ModelError, UntrustedFile
from hessay.loading.exported_files import load_exported
from hessay.loading.onnx_files import load_onnx
from hessay.loading.safetensors_files import load_safetensors
from hessay.loading.shards import INDEX_SUFFIX, load_sharded
from hessay.loading.shown import shown
from hessay.loading.torch_files import ZIP_MAGIC, load_torch_file

# Not torch.export.load: what torch.load(weights_only=True) refuses it unpickles without limits
# (torch/_export/serde/serialize.py, deserialize_torch_artifact), and no option turns that off.
_GRAPHS = {".pt2": load_exported, ".onnx": load_onnx}
_NESTED_KEYS = ("state_dict", "model", "model_state_dict")


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a weights file by name, on the CPU; nothing of the file is run.

    ``.safetensors`` files must be safetensors, ``.safetensors.index.json`` names its shards; ``.pt2`` is an archive of torch.export and
    ``.onnx`` a graph, of which the weights are read and nothing else. Any other name is judged by its content:
    safetensors, or a state dict of ``torch.save``, flat or under ``state_dict`` or ``model``.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to Tensor
        Possibly mapped from the file: copy before the file may change.

    Raises
    ------
    ModelError
        No such file, not a regular file, unreadable, or no state dict inside.
    UntrustedFile
        Empty, damaged, or loading it would run code.
    """
    try:
        if not path.exists():
            raise ModelError(f"no model file {path}; check the path")
        if not path.is_file():
            kind = "a directory" if path.is_dir() else "not a regular file"
            raise ModelError(f"{path} is {kind}; give the file that holds the weights")
        with path.open("rb") as file:
            head = file.read(9)
    except (OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"cannot read {path} ({error}); check its permissions") from error
    if not head:
        raise UntrustedFile(f"refusing {path}: the file is empty; save or download it again")
    if path.name.lower().endswith(INDEX_SUFFIX):
        return load_sharded(path)
    if path.suffix.lower() in _GRAPHS:
        return _GRAPHS[path.suffix.lower()](path)
    named_safetensors = path.suffix.lower() == ".safetensors"
    # The header length may begin with 0x80 as a pickle does, but then a brace follows it.
    if named_safetensors and head[8:] != b"{":
        other = {ZIP_MAGIC[:1]: "a zip", b"\x80": "a pickle"}.get(head[:1])
        if other is not None:
            raise UntrustedFile(
                f"refusing {path}: named .safetensors, but it is {other}; export it with safetensors"
            )
    if named_safetensors or _looks_like_safetensors(path, head):
        return load_safetensors(path)
    return _flat(path, load_torch_file(path))


def _looks_like_safetensors(path: Path, head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size - 8


def _flat(path: Path, loaded: object) -> dict[str, Tensor]:
    if isinstance(loaded, dict):
        for key in _NESTED_KEYS:
            # dict.get, not loaded.get: the file may have set attributes on an OrderedDict.
            inner = dict.get(loaded, key)
            if isinstance(inner, dict):
                loaded = inner
                break
    if not isinstance(loaded, dict) or not dict.__len__(loaded):
        raise ModelError(
            f"{path} holds {'an empty dict' if isinstance(loaded, dict) else type(loaded).__name__}"
            ", not a state dict; save model.state_dict()"
        )
    state: dict[str, Tensor] = {}
    for name, value in dict.items(loaded):
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ModelError(
                f"{path}: entry {shown(name)!r} is {type(value).__name__}, not a named tensor; "
                "save model.state_dict(), or nest it under 'state_dict'"
            )
        state[name] = value.detach()
    return state
