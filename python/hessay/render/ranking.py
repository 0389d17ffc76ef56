"""A ranking of training samples as one HTML page: its top samples as thumbnails or as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hessay._printable import shell_word
from hessay.render import pixels, wording
from hessay.render.environment import template
from hessay.render.png import natural, png_uri
from hessay.render.summary import Answer
from hessay.render.wording import number, percent

if TYPE_CHECKING:
    from hessay.samples import Ranking
    from hessay.samples.top_samples import Gallery

_LARGEST_SIDE = 96  # px of a thumbnail
_MOST_VALUES = 5  # most unusual coordinates of a sample that is no picture


@dataclass(frozen=True, slots=True)
class Suspect:
    """One sample of the page."""

    place: int  # from 1
    row: int
    label: int
    chosen: bool
    score: str
    p_value: str  # the model or the sample is clean
    p_given_class: str  # the sample is, of a class that is a target
    words: str  # why it stands here
    picture: pixels.Picture | None
    unusual: tuple[tuple[str, str, str], ...]  # coordinate, value, distance in standard deviations


def html(
    ranking: Ranking,
    gallery: Gallery,
    *,
    fdr: float,
    names: Sequence[str] | None = None,
    options: Sequence[tuple[str, str]] = (),
    model: str = "",
    files: Sequence[str] | None = None,
) -> str:
    """Render the top of a ranking as a single self-contained HTML page.

    Parameters
    ----------
    ranking : Ranking
    gallery : Gallery
        Its first samples; the page shows these.
    fdr : float in (0, 1)
        Of the selection.
    names : sequence of str or None
        Names of the coordinates of inputs that are no pictures.
    options : sequence of (str, str)
        Of ``hessay rank``, to repeat it.
    model : str
        File of the weights; without one there is no command.
    files : (N,) str or None
        Name of each sample of the data.

    Raises
    ------
    ArgumentError
        ``fdr`` is out of range, or jinja2 is missing.
    """
    page = template("ranking.html.j2")
    chosen = ranking.selected(fdr)
    is_picture = names is None and pixels.picture_shape(gallery.mean.shape) is not None
    low, high = _range(gallery)
    picked = set(chosen.tolist())
    suspects = [
        _suspect(ranking, place, row in picked, gallery, is_picture, names, low, high)
        for place, row in enumerate(gallery.rows)
    ]
    kind = "flagged" if len(chosen) else "clean" if ranking.conclusive else "inconclusive"
    return page.render(
        ranking=ranking,
        kind=kind,
        headline=f"{len(chosen)} of {ranking.n} training samples selected as poison",
        answers=_answers(ranking, len(chosen), fdr, model),
        suspects=suspects,
        files={} if files is None else {row: files[row] for row in gallery.rows},
        average=_picture("average sample", gallery.mean, low, high) if is_picture else None,
        scale=pixels.grey_scale(low, high) if is_picture else "",
        classes=[(c, int((ranking.labels[chosen] == c.index).sum())) for c in ranking.classes],
        command=_command(model, options),
    )


def _answers(ranking: Ranking, n_chosen: int, fdr: float, model: str) -> list[Answer]:
    named = ", ".join(str(c.index) for c in ranking.classes)
    asked = (
        f"Which of {ranking.n} training samples of {model or 'a model given in memory'} carry what "
        f"leads into class {named}, so that they are likely to be poison?"
    )
    if n_chosen:
        found = f"{n_chosen} samples, {percent(n_chosen / ranking.n)} of all, stand out."
        then = (
            "Look at them below. Take what is poison out of the training set and train again, or repair "
            "the model without retraining (hessay repair)."
        )
    elif ranking.conclusive:
        found = "No sample stands out far enough to be selected; those below are only the first in order."
        then = "Nothing here asks for action. Poison of a kind this ranking does not see is not excluded."
    else:
        found = (
            "Nothing was selected, but that does not speak for clean data; the reasons stand below."
        )
        then = "Remove what stood in the way, and rank again."
    level = (
        f"A false discovery rate of {percent(fdr)}: among selected samples, at most that share is "
        "expected to be harmless, if a poisoned class was rightly suspected."
    )
    return [
        Answer("What was asked", asked),
        Answer("What was found", found),
        Answer("At which level", level),
        Answer("What to do next", then),
    ]


def _suspect(
    ranking: Ranking,
    place: int,
    chosen: bool,
    gallery: Gallery,
    is_picture: bool,
    names: Sequence[str] | None,
    low: float,
    high: float,
) -> Suspect:
    e = ranking.explain(gallery.rows[place])
    share = f"carries {percent(e.projection)} of what leads into class {e.suspect}"
    if e.margin_drop is not None:
        fall = "loses" if e.margin_drop >= 0 else "gains"
        share += f"; without it its label {fall} {number(abs(e.margin_drop))} logits"
    if not e.examined:
        share += "; its own label is not suspicious"
    sample = gallery.samples[place]
    drawn = _picture(f"sample of row {e.row}, label {e.label}", sample, low, high)
    return Suspect(
        place=place + 1,
        row=e.row,
        label=e.label,
        chosen=chosen,
        score=number(e.score),
        p_value=number(e.p_value),
        p_given_class=number(float(ranking.p_values_given_class[e.row])),
        words=wording.sentence(share),
        picture=drawn if is_picture else None,
        unusual=() if is_picture else _unusual(sample, gallery, names),
    )


def _range(gallery: Gallery) -> tuple[float, float]:
    """Darkest and brightest value of everything shown, so that pictures can be compared."""
    ends = [gallery.mean.min(), gallery.mean.max()]
    if len(gallery.samples):
        ends += [gallery.samples.min(), gallery.samples.max()]
    return float(min(ends)), float(max(ends))


def _picture(
    words: str, sample: NDArray[np.float32], low: float, high: float
) -> pixels.Picture | None:
    shape = pixels.picture_shape(sample.shape)
    if shape is None:
        return None
    values = thumbnail(sample.reshape(shape).astype(np.float64))
    height, width = values.shape[1:]
    return pixels.Picture(words, png_uri(natural(values, low, high)), width, height, words)


def thumbnail(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shrink a picture (C, H, W) to sides of at most 96 by means over equal blocks; cut ends are dropped."""
    step = -(-max(values.shape[1:]) // _LARGEST_SIDE)
    if step == 1:
        return values
    channels, height, width = values.shape
    rows, columns = max(1, height // step), max(1, width // step)
    tall, wide = min(step, height), min(step, width)
    cut = values[:, : rows * tall, : columns * wide]
    smaller: NDArray[np.float64] = cut.reshape(channels, rows, tall, columns, wide).mean((2, 4))
    return smaller


def _unusual(
    sample: NDArray[np.float32], gallery: Gallery, names: Sequence[str] | None
) -> tuple[tuple[str, str, str], ...]:
    """Give the coordinates furthest from the average of all samples."""
    values = sample.ravel().astype(np.float64)
    spread = gallery.spread.ravel().astype(np.float64)
    away = values - gallery.mean.ravel()
    z = np.divide(away, spread, out=np.zeros_like(away), where=spread > 0)
    order = np.argsort(-np.abs(z), kind="stable")[:_MOST_VALUES].tolist()
    found = []
    for i in order:
        name = f"feature {i}" if names is None else names[i]
        found.append((name, number(float(values[i])), f"{z[i]:+.1f}"))
    return tuple(found)


def _command(model: str, options: Sequence[tuple[str, str]]) -> str:
    if not model:
        return ""
    words = [f"./{model}" if model.startswith("-") else model]
    for name, value in options:
        words += [name, value]
    return "hessay rank " + " ".join(shell_word(word) for word in words)
