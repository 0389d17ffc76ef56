"""Kinds of network that differ so much in reach that S has a law of its own for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hessay.detector.calibration import CleanNull
from hessay.detector.constants import (
    CLEAN_NULL,
    MAP_NULL,
    RECURRENT_MAP_NULL,
    RECURRENT_NULL,
    RECURRENT_WARP_NULL,
    SOFT_NULL,
    SOFT_WARP_NULL,
    TABLE_NULL,
    WARP_NULL,
)
from hessay.hessian.model.evaluate import Model
from hessay.hessian.model.from_module import FromModule
from hessay.hessian.model.inspect import recurrent

Kind = Literal["plain", "soft", "recurrent", "table"]

REACH_NULL: dict[Kind, CleanNull] = {
    "plain": CLEAN_NULL,
    "soft": SOFT_NULL,
    "recurrent": RECURRENT_NULL,
    "table": TABLE_NULL,
}
# F and W were fitted where they vary otherwise than in plain networks; tables are not warped.
_MAP_NULL: dict[Kind, CleanNull] = {"recurrent": RECURRENT_MAP_NULL}
_WARP_NULL: dict[Kind, CleanNull] = {"soft": SOFT_WARP_NULL, "recurrent": RECURRENT_WARP_NULL}
MODELS: dict[Kind, str] = {  # in a sentence
    "plain": "models",
    "soft": "soft models",
    "recurrent": "recurrent models",
    "table": "models of feature vectors",
}


def map_null(kind: Kind) -> CleanNull:
    """Law of F over clean networks of a kind."""
    return _MAP_NULL.get(kind, MAP_NULL)


def warp_null(kind: Kind) -> CleanNull:
    """Law of W over clean networks of a kind."""
    return _WARP_NULL.get(kind, WARP_NULL)


def kind_of(model: Model, shape: tuple[int, ...], *, soft: bool) -> Kind:
    """Find out which law a network falls under.

    Parameters
    ----------
    model : nn.Module
    shape : tuple of int
        Of one input: a vector (d,) is taken for a row of a table, also where it is a flattened picture.
    soft : bool
        Whether noise overthrows it (:mod:`hessay.detector.soft`); counts for the others.
    """
    if recurrent(model):
        return "recurrent"
    if len(shape) == 1 and not isinstance(model, FromModule):
        return "table"
    return "soft" if soft else "plain"


def told_kind(settings: Mapping[str, object]) -> Kind:
    """Kind of the network a report is of, from its settings; reports of older releases know two."""
    told = settings.get("kind")
    if told in REACH_NULL:
        return told
    return "soft" if settings.get("soft") else "plain"
