"""Models by their names in two libraries, from this machine only: nothing here opens a connection.

``hf:ORG/NAME@REVISION`` names weights in the cache of huggingface_hub, which is read by its
documented layout, ``models--ORG--NAME/{refs/REVISION, snapshots/COMMIT/FILE, blobs/HASH}``; neither
the library nor any code of the repository is needed. ``timm:NAME[:CLASSES]`` names an architecture
of timm, built without its pretrained weights: the weights are the file that is examined.

Source: huggingface_hub's guide to its cache; timm's ``create_model``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from torch import nn

from hessay.errors import ArgumentError, ModelError, UntrustedFile
from hessay.loading.shown import shown

_PART: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,95})"
_REPOSITORY: Final = re.compile(rf"hf:({_PART})/({_PART})@({_PART})")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_TIMM: Final = re.compile(r"([a-z][a-z0-9_]{0,95}(?:\.[a-z0-9_]{1,95})?)(?::([0-9]{1,6}))?")
_FILES: Final = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


def local_weights(name: str | os.PathLike[str]) -> tuple[Path, str]:
    """Find the file that a name means, and the name to keep of it.

    Parameters
    ----------
    name : path-like
        A path, given back as it is; or ``hf:ORG/NAME@REVISION``, a commit or a branch or tag that
        the cache knows. The folder is HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub.

    Returns
    -------
    (path, name)
        Of a repository the name holds the commit: a branch may move.

    Raises
    ------
    ArgumentError
        ``hf:`` without organisation, name or revision.
    ModelError
        The cache has no such repository, revision or file of weights.
    UntrustedFile
        The file of weights is a symlink out of its repository.
    """
    text = os.fspath(name)
    if not text.startswith("hf:"):
        return Path(text), text
    found = _REPOSITORY.fullmatch(text)
    if found is None or ".." in text:
        raise ArgumentError(
            f"{shown(text)!r} is not of the form hf:ORG/NAME@REVISION; a revision is needed, a commit "
            "or a name that the cache knows, so that the scan can be repeated"
        )
    organisation, model, revision = found.groups()
    repository = _cache() / f"models--{organisation}--{model}"
    commit = _commit(repository, revision, text)
    folder = repository / "snapshots" / commit
    for file in _FILES:
        if (folder / file).is_file():
            if not (folder / file).resolve().is_relative_to(repository.resolve()):
                raise UntrustedFile(
                    f"refusing {folder / file}: a symlink out of its repository; download it again"
                )
            return folder / file, f"hf:{organisation}/{model}@{commit}"
    raise ModelError(
        f"{text} has none of {', '.join(_FILES)} in {folder}; hessay opens no connection: download it "
        f"first, hf download {organisation}/{model} --revision {revision}"
    )


def build_timm(name: str) -> nn.Module:
    """Build an architecture of timm with fresh weights; nothing is downloaded.

    Parameters
    ----------
    name : str
        ``resnet18`` or ``resnet18:10``, the number of classes after the colon.

    Raises
    ------
    ArgumentError
        Not a plain name; ``hf-hub:`` and ``local-dir:`` names of timm are refused.
    ModelError
        timm is not installed, does not know the name, or cannot build it.
    """
    found = _TIMM.fullmatch(name)
    if found is None:
        raise ArgumentError(f"{shown(name)!r} is no name of timm; use timm:resnet18 or timm:resnet18:10")  # fmt: skip
    try:
        import timm
    except ImportError as error:
        raise ModelError(
            f"timm:{name} needs timm, which cannot be imported ({shown(error)}); pip install "
            "'hessay[timm]'"
        ) from error
    except Exception as error:  # a torchvision of another torch ends here
        raise ModelError(
            f"importing timm raised {shown(error, 200)}; repair the install"
        ) from error
    options = {} if found[2] is None else {"num_classes": int(found[2])}
    try:
        model = timm.create_model(found[1], pretrained=False, **options)
    except Exception as error:  # timm raises what its models raise
        raise ModelError(
            f"timm cannot build {name}: {shown(error, 200)}; timm.list_models() has the names"
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"timm:{name} gave {type(model).__name__}, not an nn.Module")
    return model


def _cache() -> Path:
    given = os.environ.get("HF_HUB_CACHE")
    if given:
        return Path(given).expanduser()
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    return Path(home).expanduser() / "hub"


def _commit(repository: Path, revision: str, text: str) -> str:
    if _COMMIT.fullmatch(revision):
        return revision
    try:
        with (repository / "refs" / revision).open("rb") as file:
            commit = file.read(64).decode("ascii").strip()
    except (OSError, ValueError):
        commit = ""
    if not _COMMIT.fullmatch(commit):
        raise ModelError(
            f"the cache {repository.parent} knows no commit for {text}; hessay opens no connection: "
            "download it first, with hf download"
        )
    return commit
