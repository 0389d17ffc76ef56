"""The names a pickled state dict of tensors needs; a pickle that names another is refused.

Source: torch/_utils.py (rebuild functions) and torch/storage.py (storage types).
"""

from __future__ import annotations

from typing import Final

# Bytes per element. Complex, quantised and sparse storages hold no weights hessay can scan.
STORAGE_BYTES: Final = {
    "torch.DoubleStorage": 8,
    "torch.FloatStorage": 4,
    "torch.HalfStorage": 2,
    "torch.BFloat16Storage": 2,
    "torch.LongStorage": 8,
    "torch.IntStorage": 4,
    "torch.ShortStorage": 2,
    "torch.CharStorage": 1,
    "torch.ByteStorage": 1,
    "torch.BoolStorage": 1,
    "torch.storage.UntypedStorage": 1,
}
DTYPE_BYTES: Final = {
    **dict.fromkeys(("torch.float64", "torch.int64", "torch.uint64"), 8),
    **dict.fromkeys(("torch.float32", "torch.int32", "torch.uint32"), 4),
    **dict.fromkeys(("torch.float16", "torch.bfloat16", "torch.int16", "torch.uint16"), 2),
    **dict.fromkeys(("torch.int8", "torch.uint8", "torch.bool"), 1),
}
REBUILD_TENSOR: Final = {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"}
HARMLESS_CALLS: Final = {"torch._utils._rebuild_parameter", "torch.Size"}
ORDERED_DICT: Final = "collections.OrderedDict"
ALLOWED_GLOBALS: Final = frozenset(
    {*STORAGE_BYTES, *DTYPE_BYTES, *REBUILD_TENSOR, *HARMLESS_CALLS, ORDERED_DICT}
)
