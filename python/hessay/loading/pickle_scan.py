"""Reads what a pickle would call, without unpickling it.

The opcodes are walked on a symbolic stack that holds only literals, names and opaque marks: nothing
is imported, called or built. A file passes only when every name it calls belongs to a state dict of
tensors and every tensor fits the storage it points into; whatever the walk cannot follow is refused.

Source: pickletools of the Python standard library (opcode table); torch/serialization.py
(persistent ids of storages) and torch/_utils.py (rebuild functions).
"""

from __future__ import annotations

import _compat_pickle
import io
import math
import pickletools
import warnings
from dataclasses import dataclass, field
from typing import Final

from hessay.loading.allowed import (
    ALLOWED_GLOBALS,
    DTYPE_BYTES,
    HARMLESS_CALLS,
    ORDERED_DICT,
    REBUILD_TENSOR,
    STORAGE_BYTES,
)

MAX_PICKLE_BYTES: Final = 16 * 2**20  # about 80 000 tensors; longer ones are refused, unread

# One byte can build a list of 64: without these, 16 MiB of pickle would cost a GiB to walk.
_MOST_OPCODES: Final = 2**21  # about 60 000 tensors
_MOST_STACKED: Final = 2**16  # picklers put 1000 items between two marks

# Named first in a refusal: the rest of a pickled module is noise beside a call into these.
_DANGEROUS: Final = {
    *("code", "commands", "ctypes", "functools", "importlib", "marshal", "nt", "operator", "os"),
    *("pickle", "posix", "pty", "runpy", "shutil", "socket", "subprocess", "sys", "webbrowser"),
    *("builtins.eval", "builtins.exec", "builtins.compile", "builtins.getattr"),
    *("builtins.__import__", "builtins.open", "builtins.setattr"),
}
_LITERALS: Final = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: Final = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Mark:
    """A stack entry of which only its kind is known."""


_MARK, _OPAQUE, _DICT, _TENSOR = _Mark(), _Mark(), _Mark(), _Mark()


@dataclass(frozen=True, slots=True)
class _Global:
    path: str  # module.name as the pickle spells it


@dataclass(frozen=True, slots=True)
class _Storage:
    n_bytes: int
    element: int  # bytes per element; 1 when the dtype comes with the tensor


@dataclass(slots=True)
class PickleScan:
    """What one pickle names, claims and leaves on the stack."""

    refused: list[str] = field(default_factory=list)  # names outside ALLOWED_GLOBALS, worst first
    protocol: int = 0  # of the first PROTO opcode that is not 2, else 2; 0 without one
    problem: str | None = None  # why the walk stopped before STOP, None when it did not
    storages: dict[str, int] = field(default_factory=dict)  # storage key -> claimed bytes
    value: object = None  # the literal on the stack at STOP; an opaque mark for anything built


class _Undecidable(Exception):
    """The walk met something whose effect it cannot tell."""


def scan_pickle(stream: io.BytesIO) -> PickleScan:
    """Walk one pickle and report what unpickling it would call and allocate.

    Parameters
    ----------
    stream : io.BytesIO
        Positioned at the first opcode; left behind STOP when the scan is complete. Bytes in memory,
        not a file: a lying length then costs nothing.

    Returns
    -------
    PickleScan
        Safe to load when ``refused`` is empty and ``problem`` is None.
    """
    walk = _Walk(PickleScan())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in STRING opcodes: data, not our code
            walk.run(stream)
    except _Undecidable as error:
        walk.scan.problem = str(error)
    # Hostile bytes: pickletools answers them with ValueError, IndexError, OverflowError ...
    except Exception as error:  # noqa: BLE001
        walk.scan.problem = f"it is damaged ({str(error) or type(error).__name__})"
    worst = {path for path in walk.refused if {path, path.split(".")[0]} & _DANGEROUS}
    walk.scan.refused = sorted(walk.refused, key=lambda path: path not in worst)
    return walk.scan


class _Walk:
    def __init__(self, scan: PickleScan) -> None:
        self.scan = scan
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}
        self.refused: dict[str, None] = {}  # a set that keeps the order of appearance

    def run(self, stream: io.BytesIO) -> None:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= _MOST_OPCODES or len(self.stack) > _MOST_STACKED:
                raise _Undecidable("it is longer or deeper than any state dict needs")
            self.step(opcode.name, argument)
        if not self.stack:
            raise _Undecidable("it ends with an empty stack")
        self.scan.value = self.stack[-1]

    def step(self, name: str, argument: object) -> None:
        stack = self.stack
        if name in ("FRAME", "STOP"):
            return
        if name == "PROTO":
            known = self.scan.protocol
            self.scan.protocol = _integer(argument) if known in (0, 2) else known
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            if stack[-1] is _MARK:
                raise _Undecidable("it stores a stack mark, which no pickler writes")
            self.memo[len(self.memo) if name == "MEMOIZE" else _integer(argument)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[_integer(argument)])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self.pop_mark()
        else:
            self.build(name, argument)

    def build(self, name: str, argument: object) -> None:
        stack = self.stack
        if name in _TUPLES:
            stack.append(tuple(self.pop(_TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(self.pop_mark()))
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "LIST":
            stack.append(self.pop_mark())
        elif name in ("APPEND", "APPENDS"):
            items = self.pop(1) if name == "APPEND" else self.pop_mark()
            target = stack[-1]
            if isinstance(target, list):
                target.extend(items)
        elif name in ("EMPTY_DICT", "EMPTY_SET"):
            stack.append(_OPAQUE)
        elif name in ("DICT", "FROZENSET"):
            self.pop_mark()
            stack.append(_OPAQUE)
        elif name == "SETITEM":
            self.pop(2)
        elif name in ("SETITEMS", "ADDITEMS"):
            self.pop_mark()
        else:
            self.call(name, argument)

    def call(self, name: str, argument: object) -> None:
        stack = self.stack
        if name == "GLOBAL":
            stack.append(self.named(str(argument).replace(" ", ".", 1)))
        elif name == "STACK_GLOBAL":
            module, attribute = self.pop(2)
            if not isinstance(module, str) or not isinstance(attribute, str):
                raise _Undecidable("it computes the name of a global while loading")
            stack.append(self.named(f"{module}.{attribute}"))
        elif name == "INST":
            self.pop_mark()
            stack.append(self.reduce(self.named(str(argument).replace(" ", ".", 1)), None))
        elif name == "OBJ":
            function, *arguments = self.pop_mark()
            stack.append(self.reduce(function, tuple(arguments)))
        elif name in ("REDUCE", "NEWOBJ"):
            function, arguments_ = self.pop(2)
            stack.append(self.reduce(function, arguments_))
        elif name == "NEWOBJ_EX":
            function, _, _ = self.pop(3)
            stack.append(self.reduce(function, None))
        elif name == "BINPERSID":
            stack.append(self.storage(self.pop(1)[0]))
        elif name == "BUILD":
            self.pop(1)
            if stack[-1] is not _DICT and not self.refused:
                raise _Undecidable("it sets the state of something that is not an OrderedDict")
        else:
            raise _Undecidable(f"it uses the opcode {name}, which no state dict needs")

    def named(self, path: str) -> _Global:
        if path not in ALLOWED_GLOBALS:
            self.refused[_display(path)] = None
        return _Global(path)

    def reduce(self, function: object, arguments: object) -> _Mark:
        """Tell the kind of ``function(*arguments)``; only plain tensors are followed."""
        if not isinstance(function, _Global):
            raise _Undecidable("it calls a value that it computes while loading")
        if function.path not in ALLOWED_GLOBALS:
            return _OPAQUE  # named already; the walk goes on to find the others
        if function.path == ORDERED_DICT:
            return _DICT
        if function.path in HARMLESS_CALLS:
            return _OPAQUE
        if function.path in REBUILD_TENSOR and isinstance(arguments, tuple):
            _check_tensor(arguments)
            return _TENSOR
        raise _Undecidable(f"it calls {function.path}, which a state dict only names")

    def storage(self, identifier: object) -> _Storage:
        """One persistent id: ("storage", type, key, location, numel[, view])."""
        match identifier:
            case ("storage", _Global(path), str(key), str(), int(count), *view) if (
                path in STORAGE_BYTES and count >= 0 and view in ([], [None])
            ):
                element = STORAGE_BYTES[path]
                if self.scan.storages.setdefault(key, count * element) != count * element:
                    raise _Undecidable(f"storage {key!r} is claimed with two sizes")
                return _Storage(count * element, element)
        if self.refused:
            return _Storage(0, 1)
        raise _Undecidable("it refers to outside data that is not a tensor storage")

    def pop(self, count: int) -> list[object]:
        if len(self.stack) < count or any(item is _MARK for item in self.stack[-count:]):
            raise _Undecidable("it takes more from the stack than it put there")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def pop_mark(self) -> list[object]:
        items: list[object] = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]


def _check_tensor(arguments: tuple[object, ...]) -> None:
    """Refuse a tensor that reaches beyond its storage, or repeats it to look larger.

    With sizes s, strides t >= 0, offset o: the last element is o + sum (s - 1) t.
    """
    match arguments:
        case (_Storage() as storage, int(offset), tuple(sizes), tuple(strides), *rest):
            element = storage.element
            for item in rest:
                if isinstance(item, _Global):
                    element = DTYPE_BYTES.get(item.path, element)
            numbers = [offset, *sizes, *strides]
            if len(sizes) == len(strides) and all(type(x) is int and x >= 0 for x in numbers):
                count = math.prod(sizes)
                last = offset + sum((s - 1) * t for s, t in zip(sizes, strides, strict=True))
                needed = max(count, last + 1) * element if count else 0
                if needed <= storage.n_bytes:
                    return
                raise _Undecidable(
                    f"a tensor claims {count} elements ({needed} bytes), but its storage holds "
                    f"{storage.n_bytes} bytes"
                )
    raise _Undecidable("it rebuilds a tensor from something that is not a storage and a shape")


def _integer(argument: object) -> int:
    if not isinstance(argument, int):
        raise _Undecidable("a memo key is not a number")
    return argument


def _display(path: str) -> str:
    """Today's name of a Python 2 global: __builtin__.eval reads builtins.eval."""
    module, _, name = path.rpartition(".")
    mapped = _compat_pickle.NAME_MAPPING.get((module, name))
    if mapped is not None:
        return ".".join(mapped)
    return f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"
