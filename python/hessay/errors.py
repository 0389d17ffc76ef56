"""The exceptions hessay raises on purpose.

Every one is a :class:`HessayError` and also the builtin a caller would expect, so that
``except ValueError`` keeps working. A message says what was wrong, the value got, and what to do.
"""

from __future__ import annotations


class HessayError(Exception):
    """Base of every error hessay raises on purpose."""


class ArgumentError(HessayError, ValueError):
    """An option or argument is outside its range."""


class ShapeError(HessayError, ValueError):
    """An array has the wrong shape, dtype or memory layout."""


class ProbeError(HessayError, ValueError):
    """The probe cannot be used: not finite, constant, mislabelled or of the wrong kind."""


class ModelError(HessayError, ValueError):
    """The model cannot be used: wrong weights, not finite, not deterministic, or it raised."""


class UntrustedFile(HessayError, ValueError):
    """The file is damaged, or loading it would run code that is not hessay's."""


class NotConverged(HessayError, RuntimeError):
    """An iteration spent its budget; ``partial`` holds what it had found."""

    def __init__(self, message: str, partial: object = None) -> None:
        super().__init__(message)
        self.partial = partial


class DeviceError(HessayError, RuntimeError):
    """The device is missing, out of memory, or differs between arguments."""


class StoreError(HessayError, RuntimeError):
    """The history cannot be reached, read or written, or a claim in it is over."""


class NonFinite(HessayError, ArithmeticError):
    """NaN or Inf where a finite number is needed; the message says where."""
