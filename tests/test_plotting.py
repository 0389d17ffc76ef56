"""Drawings say what the numbers say, and leave pyplot alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from hessay.density import spectral_density
from hessay.edge import fit_edge
from hessay.errors import ArgumentError
from hessay.spectrum import eigsh

SEED = 0
SPECTRUM = np.concatenate([np.linspace(1.0, 2.0, 300), [20.0, 30.0]])


def noise(spikes: int, rows: int = 400, columns: int = 100) -> Any:
    matrix = np.random.default_rng(SEED).standard_normal((rows, columns))
    matrix[:, :spikes] *= 4.0
    return np.linalg.eigvalsh(matrix.T @ matrix / rows)


def results() -> dict[str, Any]:
    operator = (lambda v: SPECTRUM[:, None] * v, len(SPECTRUM))
    return {
        "eigenpairs": eigsh(np.diag(SPECTRUM), k=3, which="LA"),
        "density": spectral_density(operator, tol=0.05, method="sampled"),
        "edge": fit_edge(noise(2)),
    }


@pytest.mark.parametrize("name", results())
def test_a_drawing_has_a_figure_of_its_own_or_is_drawn_where_it_is_told(name: str) -> None:
    result = results()[name]
    alone = result.plot()
    assert isinstance(alone, Axes)
    assert alone.get_title()
    alone.figure.canvas.draw()  # every artist can be drawn
    ax = Figure().add_subplot()
    assert result.plot(ax=ax) is ax
    with pytest.raises(ArgumentError, match="matplotlib Axes, got str"):
        result.plot(ax="here")


def test_eigenvalues_and_residuals_are_where_they_are_drawn() -> None:
    pairs = results()["eigenpairs"]
    line = pairs.plot().lines[0]
    np.testing.assert_array_equal(line.get_ydata(), pairs.values)
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    assert pairs.plot().get_title() == "certified"


def test_drawn_density_shows_the_bulk_and_a_tick_for_each_counted_eigenvalue() -> None:
    found = results()["density"]
    ax = found.plot()
    x, y = (np.asarray(part, dtype=float) for part in ax.lines[0].get_data())
    # The curve, floor included, holds all the mass: the floor adds at most half an eigenvalue's
    # height over the range, 100 widths of 2.5 such masses each at most.
    assert 1.0 - 1e-3 <= np.trapezoid(y, x) <= 1.0 + 100 / (2 * 2.5 * found.d)
    ticks = [float(segment[0, 0]) for segment in ax.collections[-1].get_segments()]
    np.testing.assert_array_equal(ticks, found.estimate.known)
    assert found.deflated >= 2
    # A single eigenvalue stands above the floor.
    assert np.interp(30.0, x, y) > 1.5 * ax.get_ylim()[0]


def test_equal_eigenvalues_are_drawn_as_a_tick() -> None:
    atom = spectral_density((lambda v: 3.0 * v, 200), method="sampled")
    ax = atom.plot()
    assert len(ax.lines) == 0
    assert ax.collections[-1].get_segments()[0][0, 0] == pytest.approx(3.0)
    assert len(atom.plot(width=0.1).lines) == 1


@pytest.mark.parametrize(("rows", "columns"), [(400, 100), (100, 400)])
def test_fitted_law_and_histogram_have_the_mass_of_the_bulk(rows: int, columns: int) -> None:
    values = noise(2, rows, columns)
    edge = fit_edge(values)
    assert edge.n_outliers == 2
    bulk = 1 - 2 / edge.n_values
    ax = edge.plot(values)
    x, law = (np.asarray(part, dtype=float) for part in ax.lines[0].get_data())
    # 400 points, dense at both edges; the square roots there cost the rule below 1e-3.
    assert np.trapezoid(law, x) == pytest.approx(bulk, abs=2e-3)
    heights, bins, _ = ax.patches[0].get_data()
    # Nothing of the bulk is lost: every positive value is an outlier or in a bin.
    assert heights @ np.diff(bins) == pytest.approx(bulk, abs=1e-12)
    ticks = [s[0, 0] for s in ax.collections[0].get_segments()]
    np.testing.assert_allclose(np.sort(ticks), np.sort(values)[-2:])
    assert to_rgba(ax.lines[1].get_color()) == to_rgba("black")
    assert ax.lines[1].get_xdata()[0] == edge.upper


def test_missing_matplotlib_names_the_extra() -> None:
    program = """
import sys
import numpy as np
from hessay.errors import ArgumentError
from hessay.spectrum import eigsh
pairs = eigsh(np.diag(np.arange(50.0)), k=2)
assert "matplotlib" not in sys.modules
sys.modules["matplotlib"] = None
try:
    pairs.plot()
except ArgumentError as error:
    print(error)
"""
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert "hessay[plot]" in out


def test_drawing_leaves_pyplot_alone() -> None:
    program = """
import sys
import numpy as np
from hessay.density import spectral_density
spectral_density(np.diag(np.arange(50.0))).plot()
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
