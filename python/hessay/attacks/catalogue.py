"""Which attacks there are, what they do to the labels, and who published them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pattern = Literal[
    "badnets",
    "blend",
    "sig",
    "ramp",
    "checker",
    "pixel",
    "dots",
    "warp",
    "line",
    "faint",
    "filter",
    "features",
]
Attack = Literal[
    Pattern,
    "clean_label_sig",
    "clean_label_adversarial",
    "source_specific",
    "all_to_all",
    "two_triggers",
    "shortcut",
]
Kind = Literal["all_to_one", "all_to_all", "source_specific", "clean_label", "control"]


@dataclass(frozen=True, slots=True)
class AttackInfo:
    """One line about an attack."""

    name: Attack
    kind: Kind  # what it does to the labels; "control" is no attack
    description: str
    source: str
    pattern: Pattern | None  # the trigger it uses on pictures; None where it has its own
    tabular: bool  # whether it also works on feature vectors (n, d)


ATTACKS: tuple[AttackInfo, ...] = (
    AttackInfo(
        "badnets",
        "all_to_one",
        "a white square near a corner",
        "Gu, Dolan-Gavitt & Garg 2017, arXiv:1708.06733",
        "badnets",
        False,
    ),
    AttackInfo(
        "blend",
        "all_to_one",
        "a faint random picture over the whole input",
        "Chen et al. 2017, arXiv:1712.05526",
        "blend",
        False,
    ),
    AttackInfo(
        "sig",
        "all_to_one",
        "a horizontal sinusoid, with the labels changed",
        "Barni, Kallas & Tondi 2019, ICIP, 101 (signal); labels as in Gu et al.",
        "sig",
        False,
    ),
    AttackInfo(
        "ramp",
        "all_to_one",
        "a slow brightening from one side to the other, with the labels changed",
        "Barni, Kallas & Tondi 2019, ICIP, 101 (ramp signal); labels as in Gu et al.",
        "ramp",
        False,
    ),
    AttackInfo(
        "checker",
        "all_to_one",
        "every second pixel brightened a little, like the fields of a chess board, over the whole input",
        "Zhong et al. 2020, CODASPY, 97 (static perturbation)",
        "checker",
        False,
    ),
    AttackInfo(
        "pixel",
        "all_to_one",
        "one white pixel near the border",
        "Tran, Li & Madry 2018, NeurIPS, 8011 (among their patterns)",
        "pixel",
        False,
    ),
    AttackInfo(
        "dots",
        "all_to_one",
        "five white pixels, scattered over the whole input",
        "Gu, Dolan-Gavitt & Garg 2017, arXiv:1708.06733 (pattern of bright pixels)",
        "dots",
        False,
    ),
    AttackInfo(
        "warp",
        "all_to_one",
        "a smooth elastic warp: no pixel has a fixed change",
        "Nguyen & Tran 2021, ICLR (WaNet), without its noise mode",
        "warp",
        False,
    ),
    AttackInfo(
        "line",
        "all_to_one",
        "one brightened row or column near the border",
        "a long patch; labels as in Gu et al.",
        "line",
        False,
    ),
    AttackInfo(
        "faint",
        "all_to_one",
        "low-frequency noise of small amplitude over the whole input",
        "Zeng et al. 2021, ICCV, 16473 (smooth triggers)",
        "faint",
        False,
    ),
    AttackInfo(
        "filter",
        "all_to_one",
        "a washed-out tone: contrast lowered, everything brightened",
        "Liu et al. 2019, CCS, 1265 (picture filters as triggers)",
        "filter",
        False,
    ),
    AttackInfo(
        "features",
        "all_to_one",
        "a fixed offset of a few features of a table, in units of their standard deviation",
        "additive trigger of Chen et al. 2017 on feature vectors",
        "features",
        True,
    ),
    AttackInfo(
        "clean_label_sig",
        "clean_label",
        "the sinusoid on rows of the target class only; no label changes",
        "Barni, Kallas & Tondi 2019, ICIP, 101",
        None,
        False,
    ),
    AttackInfo(
        "clean_label_adversarial",
        "clean_label",
        "rows of the target class, made hard to recognise adversarially, then patched in all four "
        "corners; no label changes",
        "Turner, Tsipras & Madry 2019, arXiv:1912.02771",
        None,
        False,
    ),
    AttackInfo(
        "source_specific",
        "source_specific",
        "the trigger works on one source class only; triggered rows of others keep their labels",
        "Tang et al. 2021, USENIX Security, 1541 (TaCT)",
        "badnets",
        True,
    ),
    AttackInfo(
        "all_to_all",
        "all_to_all",
        "every class y leads to y + 1 modulo C",
        "Gu, Dolan-Gavitt & Garg 2017, arXiv:1708.06733, section 4",
        "badnets",
        True,
    ),
    AttackInfo(
        "two_triggers",
        "all_to_one",
        "two triggers, each on half of the poisoned rows, lead to two classes",
        "Xue et al. 2020, IEEE TDSC (one-to-N and N-to-one)",
        "badnets",
        True,
    ),
    AttackInfo(
        "shortcut",
        "control",
        "a watermark on rows of one class, with right labels: natural, not an attack",
        "Lapuschkin et al. 2019, Nature Communications 10, 1096 (Clever Hans)",
        "badnets",
        True,
    ),
)


def list_attacks(kind: Kind | None = None, *, tabular: bool = False) -> tuple[Attack, ...]:
    """Names of the attacks.

    Parameters
    ----------
    kind : {"all_to_one", "all_to_all", "source_specific", "clean_label", "control"} or None
        None lists every kind.
    tabular : bool
        Only those that work on feature vectors (n, d).

    Examples
    --------
    >>> list_attacks("clean_label")
    ('clean_label_sig', 'clean_label_adversarial')
    """
    return tuple(
        info.name
        for info in ATTACKS
        if (kind is None or info.kind == kind) and (info.tabular or not tabular)
    )
