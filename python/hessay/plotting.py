"""The three drawings behind ``.plot()``: eigenvalues, a spectral density, a fitted bulk.

Plain arrays in, a matplotlib ``Axes`` out. matplotlib (extra ``plot``) is imported on call; without
an ``ax`` the drawing gets a figure of its own, and pyplot's global state is never touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_bulk", "draw_density", "draw_eigenvalues"]

_CURVE, _POINT, _EDGE = "tab:blue", "tab:red", "black"
_BINS = 60  # of a histogram, at most
Array = NDArray[np.float64]


def draw_eigenvalues(
    values: Array, residuals: Array, *, title: str, ax: Axes | None = None
) -> Axes:
    """Draw eigenvalues in their order, each with its residual as an error bar.

    Parameters
    ----------
    values, residuals : (k,) float64
        In the operator's unit. An eigenvalue lies within the residual of every value; a residual
        that is not finite is left out.
    title : str
    ax : matplotlib Axes, optional
        Where to draw; on a figure of its own by default, which ``ax.figure`` gives.

    Raises
    ------
    ArgumentError
        matplotlib is missing, or ``ax`` is not an Axes.
    """
    axes = _axes(ax)
    bars = np.where(np.isfinite(residuals), residuals, 0.0)
    axes.errorbar(
        np.arange(1, len(values) + 1), values, yerr=bars, fmt="o", color=_POINT, capsize=3
    )
    axes.axhline(0.0, color=_EDGE, linewidth=0.5)
    axes.set_xlabel("rank")
    axes.set_ylabel("eigenvalue")
    axes.set_title(title)
    return axes


def draw_density(
    x: Array, density: Array, counted: Array, *, floor: float, title: str, ax: Axes | None = None
) -> Axes:
    """Draw a density on a logarithmic scale, and the eigenvalues counted one by one as ticks.

    Parameters
    ----------
    x, density : (m,) float64, x ascending
        In the operator's unit and its inverse; m = 0 draws the ticks alone.
    counted : (k,) float64
        In the operator's unit.
    floor : float
        Densities below are not shown: half of one eigenvalue's, so that a single one is seen.
    title, ax, Raises
        As in :func:`draw_eigenvalues`.
    """
    axes = _axes(ax)
    if len(x):
        axes.fill_between(x, floor, np.maximum(density, floor), color=_CURVE, alpha=0.3)
        axes.plot(x, np.maximum(density, floor), color=_CURVE)
        axes.set_yscale("log")
        axes.set_ylim(bottom=floor)
    # At the bottom, whatever the scale: y counts from the lower to the upper end of the axes.
    axes.vlines(counted, 0.0, 0.04, color=_POINT, transform=axes.get_xaxis_transform())
    axes.set_xlabel("eigenvalue")
    axes.set_ylabel("eigenvalues per unit, share of all")
    axes.set_title(title)
    return axes


def draw_bulk(
    x: Array,
    density: Array,
    *,
    edge: float,
    noise_end: float,
    values: Array | None,
    title: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw a fitted law, its upper edge, and the eigenvalues it was fitted to.

    Parameters
    ----------
    x, density : (m,) float64
        The law, in the eigenvalues' unit and its inverse; scaled to the share of the bulk.
    edge, noise_end : float
        Upper end of the law, and what the largest noise eigenvalue exceeds once in a hundred times.
    values : (k,) float64, optional
        Positive eigenvalues; those above ``noise_end`` get a tick each.
    title, ax, Raises
        As in :func:`draw_eigenvalues`.
    """
    axes = _axes(ax)
    if values is not None:
        below = values[values <= noise_end]
        bins = np.linspace(min(x[0], values.min()), noise_end, _BINS + 1)
        heights = np.histogram(below, bins)[0] / (len(values) * np.diff(bins))
        axes.stairs(heights, bins, fill=True, color=_CURVE, alpha=0.3, label="eigenvalues")
        axes.vlines(
            values[values > noise_end],
            0.0,
            0.08,
            color=_POINT,
            transform=axes.get_xaxis_transform(),
            label="outliers",
        )
    axes.plot(x, density, color=_CURVE, label="Marchenko-Pastur law")
    axes.axvline(edge, color=_EDGE, linestyle="--", label="edge")
    axes.axvline(noise_end, color=_EDGE, linestyle=":", label="99 % of largest noise eigenvalues")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("eigenvalue")
    axes.set_ylabel("eigenvalues per unit, share of all")
    axes.set_title(title)
    axes.legend()
    return axes


def _axes(ax: Axes | None) -> Axes:
    try:
        from matplotlib.axes import Axes as AxesType
        from matplotlib.figure import Figure
    except ImportError:
        raise ArgumentError(
            "a plot needs matplotlib, which is not installed; pip install 'hessay[plot]'"
        ) from None
    if ax is None:
        return Figure(layout="constrained").add_subplot()
    if not isinstance(ax, AxesType):
        raise ArgumentError(f"ax must be a matplotlib Axes, got {type(ax).__name__}")
    return ax
