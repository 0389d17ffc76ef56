"""The CUDA devices of this machine, as the compiled module ``hessay._cuda`` sees them.

That module is built only where a CUDA toolkit was found, and nothing else needs it.
"""

from __future__ import annotations

from dataclasses import dataclass

from hessay.errors import DeviceError

SMALLEST_CAPABILITY = (8, 0)  # the kernels are compiled for sm_80 and later

__all__ = ["Device", "devices"]


@dataclass(frozen=True, slots=True)
class Device:
    """One CUDA device."""

    index: int
    name: str
    major: int  # compute capability
    minor: int
    memory: int  # bytes
    multiprocessors: int

    @property
    def is_supported(self) -> bool:
        """Whether the kernels were compiled for it."""
        return (self.major, self.minor) >= SMALLEST_CAPABILITY


def devices() -> tuple[Device, ...]:
    """List the CUDA devices; none without a driver or a device.

    Raises
    ------
    DeviceError
        ``hessay._cuda`` was not built, or the libraries it needs are missing.
    """
    try:
        from hessay import _cuda
    except ImportError as error:
        if error.name == "hessay._cuda" or "_cuda" in str(error).split("(")[0]:
            reason = "this hessay was built without them; build with HESSAY_CUDA=ON and a CUDA 13 toolkit"
        else:
            reason = f"{error}; pip install 'hessay[cuda13]'"
        raise DeviceError(f"the CUDA kernels cannot be used: {reason}") from None
    found = []
    for index in range(_cuda.device_count()):
        told = _cuda.device_properties(index)
        found.append(
            Device(
                index=index,
                name=told["name"],
                major=told["major"],
                minor=told["minor"],
                memory=told["memory"],
                multiprocessors=told["multiprocessors"],
            )
        )
    return tuple(found)
