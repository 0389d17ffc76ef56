"""``hessay rank --html``: the most suspicious samples, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hessay.cli.streams import complain
from hessay.errors import ArgumentError

if TYPE_CHECKING:
    from hessay.samples import Ranking


def check_page(path: str, target: str | None) -> None:
    """Make sure, before anything long begins, that the page can be written.

    Raises
    ------
    ArgumentError
        It cannot, or it is the file of ``-o``.
    """
    from hessay.render.environment import template
    from hessay.render.files import check_writable

    template("ranking.html.j2")
    if target is not None and check_writable(path) == check_writable(target):
        raise ArgumentError(f"--html and -o both name {path}; give each its own file")
    check_writable(path)


def write_page(
    path: str,
    ranking: Ranking,
    samples: object,
    shape: tuple[int, ...],
    *,
    model: str,
    given: Sequence[tuple[str, str | None]],
    fdr: float,
    top: int,
    files: Sequence[str] | None = None,
    quiet: bool,
) -> None:
    """Fetch the top samples in a second pass and write the page.

    Parameters
    ----------
    path : str
    ranking : Ranking
    samples : path or re-iterable
        What was ranked.
    shape : tuple of int
        Of one input.
    model : str
        File of the weights.
    given : sequence of (option, value or None)
        Of the command, to repeat it.
    fdr, top
        As given; at most 100 samples are shown.
    files : sequence of str or None
        Name of each sample.
    quiet : bool
    """
    from hessay.render.files import write
    from hessay.render.ranking import html
    from hessay.samples.top_samples import MOST_SAMPLES, gallery

    options = [(name, value) for name, value in given if value is not None]
    options += [("--fdr", repr(fdr)), ("--top", str(top)), ("--seed", str(ranking.seed))]
    found = gallery(ranking, samples, shape=shape, count=min(top, MOST_SAMPLES))
    options.append(("--html", path))
    write(html(ranking, found, fdr=fdr, model=model, options=options, files=files), path)
    if not quiet:
        complain(f"the {len(found.rows)} most suspicious samples are in {path}", "note")
