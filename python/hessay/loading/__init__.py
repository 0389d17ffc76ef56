"""Step 1 of the flow: from a file nobody vouches for to a checked ``nn.Module`` in eval mode.

Read in this order: ``allowed`` and ``pickle_scan`` (what would a pickle call?), ``torch_files`` and
``safetensors_files`` (do the containers keep their word?), ``exported_files`` and ``onnx_files`` (weights without their graph),
``shards`` (several files and an index; ``beside``: where files may lie that a file names), ``hub`` (names of libraries),
``files`` (one entry for all),
``architectures`` (names and factories), ``model`` (put together). ``npz``, ``batches`` and
``images`` (after ``preprocessing``) read the inputs of a probe; ``shown`` makes text from a file fit for a message.
"""

from __future__ import annotations

from hessay.loading.architectures import build_architecture, build_cnn, build_mlp, describe
from hessay.loading.files import read_state
from hessay.loading.model import load_model, model_digest, require_module

__all__ = [
    "build_architecture",
    "build_cnn",
    "build_mlp",
    "describe",
    "load_model",
    "model_digest",
    "read_state",
    "require_module",
]
