"""What every part of the benchmark is given: the device, the sizes, the module, the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from clock import Timing, launched_alone, timed

Row = dict[str, Any]
SEED = 3


@dataclass
class Setting:
    """One run of the benchmark."""

    device: torch.device
    size: Literal["full", "quick", "tiny"]
    cuda: Any  # hessay._cuda, or its twin on the processor
    ends: float  # time.monotonic() when it has to be over
    bandwidth: float = float("nan")  # bytes/s of a copy; measured first
    rate: float = float("nan")  # FLOP/s of a large product; measured first
    rows: list[Row] = field(default_factory=list)

    def pick(self, full: Any, quick: Any, tiny: Any) -> Any:
        """Choose by size."""
        return {"full": full, "quick": quick, "tiny": tiny}[self.size]

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self.ends - time.monotonic()

    @property
    def stream(self) -> int:
        """Torch's current stream as a number."""
        on_card = self.device.type == "cuda"
        return int(torch.cuda.current_stream(self.device).cuda_stream) if on_card else 0

    def matrix(self, rows: int, cols: int) -> Tensor:
        """Draw a column-major matrix on the device."""
        return torch.randn(cols, rows, device=self.device).T

    def room(self, doubles: int) -> Tensor:
        """Allocate a workspace."""
        return torch.empty(doubles, dtype=torch.float64, device=self.device)

    def time(self, work: Callable[[], object], *, repeats: int = 7, warm: int = 2) -> Timing:
        """Median of a few repeats, fewer where the time runs out."""
        return timed(
            work, device=self.device, repeats=repeats, warm=warm, seconds=max(0.0, self.left / 4)
        )

    def time_kernel(self, work: Callable[[], object]) -> Timing:
        """Median time of one launch, the host left out."""
        return launched_alone(work, self.device, self.pick(20, 20, 1))

    def note(self, name: str, timing: Timing | None, **facts: Any) -> None:
        """Keep one result, and print it."""
        shown = "" if timing is None else f"{timing.seconds * 1e3:>12.3f} ms"
        print(f"{name:<46}{shown:>15}  {facts}", flush=True)
        self.rows.append({"name": name, **({} if timing is None else asdict(timing)), **facts})

    def judge(self, name: str, value: float, target: float, *, at_least: bool) -> None:
        """Keep a figure with what it was meant to be; only a full run on a card tells."""
        counts = self.size == "full" and self.device.type == "cuda"
        met = (value >= target if at_least else value <= target) if counts else None
        sign = ">=" if at_least else "<="
        self.note(name, None, value=round(value, 4), target=f"{sign} {target:g}", met=met)

    def rival(self, name: str, work: Callable[[], object], check: Callable[[Any], float]) -> float:
        """Time another way to the same result after checking it; NaN seconds where it cannot."""
        if self.left < 5:
            self.note(name, None, skipped="out of time")
            return float("nan")
        try:
            error = check(work())
            timing = self.time(work, repeats=3, warm=1)
        except (RuntimeError, ImportError, NotImplementedError, AttributeError) as failed:
            self.note(name, None, failed=f"{type(failed).__name__}: {str(failed)[:200]}")
            return float("nan")
        self.note(name, timing, error=error)
        return timing.seconds


def agree(name: str, found: Tensor, wanted: Tensor, allowed: float) -> float:
    """Relative error in units of the largest number; a fast wrong answer ends the run."""
    exact = wanted.double().cpu()
    error = float((found.detach().double().cpu() - exact).abs().max() / exact.abs().max())
    if not error <= allowed:
        raise SystemExit(f"{name} is wrong: relative error {error:.3g}, allowed {allowed:g}")
    return error
