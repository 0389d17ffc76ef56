"""What was measured on clean reference models, and what it may be used for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hessay.detector.calibration import CleanNull
from hessay.detector.constants import MAP_NULL, OWN_PROFILE_NULL, PROFILE_NULL
from hessay.detector.kinds import warp_null
from hessay.detector.measure import Measured
from hessay.detector.pair_law import pair_threshold
from hessay.detector.pairs import MIN_PAIR_REFERENCES, fit_pairs, left_out_pairs
from hessay.detector.profile import (
    MIN_REFERENCES,
    OWN_SHARE,
    SHARE,
    ClassProfile,
    fit_profile,
    left_out,
)
from hessay.errors import ArgumentError

UNLIKE = 5.0  # robust standard deviations of a bystander beyond which two trainings were not alike
_SPREAD_FLOOR = 0.05  # of a bystander, natural logarithm: what seeds alone do to it


@dataclass(frozen=True, eq=False)
class ReferenceTable:
    """Class reaches of k clean models on the scan's probe."""

    log_ratios: NDArray[np.float64]  # (k, C): log(reach / median), dimensionless
    map_excesses: NDArray[np.float64]  # (k,): F of each, [0, 1]
    bystanders: NDArray[np.float64]  # (k, b): logarithms of what only the training changes
    trained_alike: bool  # whether the caller says that they were trained as the scanned model was
    architecture: str | None  # digest of their common build; None where they have several
    log_pairs: (
        NDArray[np.float64] | None
    )  # (k, C, C): log reach of each pair; None where not measured
    warp_reaches: NDArray[np.float64] | None  # (k,): W of each; None where not measured

    @staticmethod
    def of(measured: Sequence[Measured], *, trained_alike: bool) -> ReferenceTable:
        """Collect the measurements of the references.

        Raises
        ------
        ArgumentError
            Fewer than 4, models of different numbers of classes, or one model twice.
        """
        if len(measured) < MIN_REFERENCES:
            raise ArgumentError(
                f"{len(measured)} reference models are too few for a class profile; give at least "
                f"{MIN_REFERENCES}, 8 are good, or none"
            )
        sizes = sorted({len(m.usual_reach.log_ratio) for m in measured})
        if len(sizes) > 1:
            raise ArgumentError(
                f"the reference models have {' and '.join(map(str, sizes))} classes; give models of "
                "one task"
            )
        log_ratios = np.stack([m.usual_reach.log_ratio for m in measured])
        for number, row in enumerate(log_ratios[1:], 1):
            if (twin := _twin(row, log_ratios[:number])) is not None:
                raise ArgumentError(
                    f"reference models {twin} and {number} are the same model: how much clean models differ "
                    "cannot be learnt from copies; give models trained from different seeds"
                )
        pairs = [m.log_pairs for m in measured if m.log_pairs is not None]
        warps = [m.warp_spread.max() for m in measured if m.warp_spread is not None]
        return ReferenceTable(
            log_ratios,
            np.array([m.map_excess for m in measured]),
            np.stack([bystanders(m) for m in measured]),
            trained_alike,
            measured[0].architecture if len({m.architecture for m in measured}) == 1 else None,
            np.stack(pairs) if len(pairs) == len(measured) else None,
            np.array(warps) if len(warps) == len(measured) else None,
        )

    @property
    def n_classes(self) -> int:
        """C of the references."""
        return int(self.log_ratios.shape[1])

    @cached_property
    def profile(self) -> ClassProfile:
        """What the references have in common."""
        return fit_profile(self.log_ratios)

    def same_build(self, measured: Measured) -> bool:
        """Whether all references are of the scanned model's own architecture."""
        return self.architecture == measured.architecture

    def deviations(self, measured: Measured) -> NDArray[np.float64]:
        """Z of every class of a model under the references' profile, (C,)."""
        share = OWN_SHARE if self.same_build(measured) else SHARE
        return self.profile.deviations(measured.usual_reach.log_ratio, share)

    def pairs_untested(self, measured: Measured) -> str:
        """Say why pairs of classes cannot be compared with these references; "" if they can."""
        if self.log_pairs is None or measured.log_pairs is None:
            return "no reach was measured for some pairs of classes"
        if not self.trained_alike or not self.same_build(measured):
            return "the references are not models of its own architecture trained as it was"
        if len(self.log_pairs) < MIN_PAIR_REFERENCES:
            return f"{len(self.log_pairs)} references are too few, {MIN_PAIR_REFERENCES} are needed"
        return self.unlike(measured)

    def about_pairs(self, measured: Measured) -> tuple[str, ...]:
        """Say why pairs are not compared, where references were given."""
        why = self.pairs_untested(measured)
        return (f"backdoors for one source class were not tested for: {why}",) if why else ()

    def pair_deviations(self, log_pairs: NDArray[np.float64]) -> NDArray[np.float64]:
        """z_sc of a model under the references' profile of pairs, (C, C); -inf on the diagonal."""
        assert self.log_pairs is not None
        return fit_pairs(self.log_pairs).deviations(log_pairs)

    def law(self, measured: Measured) -> CleanNull:
        """Law of the largest z over clean models, for references of this kind."""
        return OWN_PROFILE_NULL if self.same_build(measured) else PROFILE_NULL

    def suspects(self, threshold: float) -> tuple[int, ...]:
        """Find references that stand out of the profile of the others, and may be poisoned."""
        if len(self.log_ratios) <= MIN_REFERENCES:
            return ()
        return tuple(int(i) for i in np.flatnonzero(left_out(self.log_ratios) > threshold))

    def doubts(self, measured: Measured) -> tuple[str, ...]:
        """Say why no alarm beside these references is no CLEAN: the model must not vouch for itself."""
        twin = _twin(measured.usual_reach.log_ratio, self.log_ratios)
        if twin is None:
            return ()
        said = (
            f"the model is its own reference model {twin}, so that a backdoor in it counts as usual"
        )
        return (f"{said}; leave it out of the references",)

    def remarks(self, measured: Measured) -> tuple[str, ...]:
        """Say what a reader should know about these references, beside the verdict."""
        said = []
        odd = self.suspects(PROFILE_NULL.threshold(0.01, self.log_ratios.shape[1]))
        if odd:
            said.append(
                f"reference model {', '.join(map(str, odd))} stands out among the others: it may be "
                "poisoned itself, which costs power; leave it out"
            )
        if self.trained_alike and (difference := self.unlike(measured)):
            said.append(
                f"the model was not trained as the references were: {difference}; ranks among them "
                "are no p-value, the law over other clean models is used"
            )
        return tuple(said)

    def unlike(self, measured: Measured) -> str:
        """Say in what the scanned model was trained otherwise than the references; "" if in nothing.

        The quantities compared hardly depend on one class standing out.
        """
        centre = np.median(self.bystanders, axis=0)
        gaps = np.abs(self.bystanders - centre)
        spread = np.maximum(1.4826 * np.median(gaps, axis=0), _SPREAD_FLOOR)
        off = (bystanders(measured) - centre) / spread
        worst = int(np.abs(off).argmax())
        if abs(off[worst]) <= UNLIKE:
            return ""
        return (
            f"its {BYSTANDERS[worst]} is {abs(off[worst]):.1f} standard deviations "
            f"{'above' if off[worst] > 0 else 'below'} the reference models'"
        )

    def scores(self, measured: Measured, level: float) -> NDArray[np.float64] | None:
        """Scores of the references, each left out in turn, and, last, of the scanned model, (k + 1,).

        A score is the largest of z, F, of pictures W and, where pairs of classes can be compared, P,
        each over its threshold at ``level``. None where ranks of k + 1 values cannot reach the level, or where
        the references are not of the model's kind.
        """
        k, n_classes = self.log_ratios.shape
        reaches = 1.0 / (k + 1) <= level * (1.0 + 1e-12)
        if not self.trained_alike or not reaches or k < MIN_REFERENCES or self.unlike(measured):
            return None
        z = left_out(np.vstack([self.log_ratios, measured.usual_reach.log_ratio]))
        moved = np.append(self.map_excesses, measured.map_excess)
        scores: NDArray[np.float64] = np.maximum(
            z / PROFILE_NULL.threshold(level, n_classes),
            moved / MAP_NULL.threshold(level, n_classes),
        )
        if self.warp_reaches is not None and measured.warp_spread is not None:
            bent = np.append(self.warp_reaches, measured.warp_spread.max())
            law = warp_null(measured.kind)
            scores = np.maximum(scores, bent / law.threshold(level, n_classes))
        if self.log_pairs is not None and not self.pairs_untested(measured):
            pairs = left_out_pairs(np.concatenate([self.log_pairs, [measured.log_pairs]]))
            scores = np.maximum(scores, pairs / pair_threshold(k, n_classes, level))
        return scores


_SAME = 1e-6  # log-ratios of one model measured twice differ by rounding


def _twin(log_ratio: NDArray[np.float64], others: NDArray[np.float64]) -> int | None:
    """Find the first row of ``others`` (k, C) that is the same model's; None where there is none."""
    same = np.flatnonzero(np.abs(others - log_ratio).max(axis=1) <= _SAME)
    return int(same[0]) if len(same) else None


BYSTANDERS = ("median reach", "size of the logits")


def bystanders(measured: Measured) -> NDArray[np.float64]:
    """Logarithms of quantities that the recipe changes and one target class hardly does, (2,)."""
    return np.log(
        [
            float(np.median(measured.usual_reach.reach)),
            measured.logit_scale,
        ]
    )
