"""STRIP: a trigger keeps the prediction certain when other pictures are laid over the input.

Over every suspected input x, K clean probes t_k are laid one at a time; its score is minus the mean
entropy of the predictions, in bits:

    H(x) = -1/K sum_k sum_c p_kc log2 p_kc,   p_k = softmax(f(clip(w x + w t_k)))
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.errors import ArgumentError, ProbeError, ShapeError
from hessay.hessian.model.evaluate import like_model, logits_of
from hessay.probe import Probe
from hessay.second_opinions.result import Findings, Opinion

OVERLAYS = 20
FALSE_REJECTIONS = 0.01  # share of clean inputs below the entropy line, the paper's usual setting
_PASS_ELEMENTS = 1 << 21  # input elements blended at a time


def superposed_entropy(
    model: nn.Module,
    inputs: Tensor,
    overlays: Tensor,
    partners: NDArray[np.intp],
    *,
    weight: float = 1.0,
) -> NDArray[np.float64]:
    """Mean entropy of the predictions when overlays are blended into the inputs.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller; returns logits.
    inputs : (n, *shape) float tensor
        Inputs under suspicion.
    overlays : (m, *shape) float tensor
        Clean inputs.
    partners : (n, K) intp, in [0, m)
        Which overlays each input is blended with.
    weight : float in (0, 1]
        Of both the input and the overlay: 1 gives their sum, which leaves a bright patch at full
        strength, 0.5 their mean. Both are clipped to the range of the overlays.

    Returns
    -------
    (n,) float64, bits, in [0, log2 C]

    Raises
    ------
    ShapeError
        ``partners`` is not (n, K), or inputs and overlays differ in shape.
    ArgumentError
        ``weight`` out of range.
    ModelError, NonFinite
        The model raised, or its logits are not finite.

    Source: Gao et al. 2019, ACSAC, 113, arXiv:1902.06531.
    """
    if inputs.shape[1:] != overlays.shape[1:]:
        raise ShapeError(
            f"inputs {tuple(inputs.shape)} and overlays {tuple(overlays.shape)} must hold samples of "
            "one shape"
        )
    if partners.ndim != 2 or len(partners) != len(inputs) or partners.shape[1] < 1:
        raise ShapeError(f"partners must have shape ({len(inputs)}, K), got {partners.shape}")
    if not 0.0 < weight <= 1.0:
        raise ArgumentError(f"weight must be in (0, 1], got {weight}")
    low, high = overlays.min(), overlays.max()
    count = partners.shape[1]
    rows = max(1, _PASS_ELEMENTS // (count * max(1, inputs[0].numel())))
    entropy = []
    for start in range(0, len(inputs), rows):
        some = inputs[start : start + rows]
        laid_over = overlays[torch.from_numpy(partners[start : start + rows])]
        blended = (weight * some[:, None] + weight * laid_over).clamp(low, high)
        probabilities = logits_of(model, blended.flatten(0, 1)).softmax(dim=1)
        bits = torch.special.entr(probabilities).sum(dim=1) / np.log(2.0)
        entropy.append(bits.reshape(-1, count).mean(dim=1))
    values: NDArray[np.float64] = torch.cat(entropy).numpy()
    return values


def _judge(model: nn.Module, probe: Probe, data: Probe | None, seed: int) -> Findings:
    assert data is not None
    if not data.inputs.is_floating_point() or not probe.inputs.is_floating_point():
        raise ProbeError("token ids cannot be superposed; STRIP needs floating inputs")
    if data.shape != probe.shape:
        raise ShapeError(
            f"the data have inputs of shape {data.shape}, the probe of {probe.shape}; pass both as "
            "the model takes them"
        )
    if probe.n < 2:
        raise ShapeError("STRIP needs a probe of at least 2 clean inputs, 100 or more to be of use")
    rng = np.random.default_rng(seed)
    clean, suspected = like_model(model, probe.inputs), like_model(model, data.inputs)
    # A clean input is blended with the others, never with itself.
    shift = rng.integers(1, probe.n, size=(probe.n, OVERLAYS))
    others = (np.arange(probe.n)[:, None] + shift) % probe.n
    usual = superposed_entropy(model, clean, clean, others)
    any_of_them = rng.integers(0, probe.n, size=(data.n, OVERLAYS))
    entropy = superposed_entropy(model, suspected, clean, any_of_them)
    low = entropy < np.quantile(usual, FALSE_REJECTIONS)
    with torch.no_grad():
        predicted = logits_of(model, suspected).argmax(dim=1).numpy()
        n_classes = int(logits_of(model, clean[:1]).shape[1])
    each = np.bincount(predicted, minlength=n_classes).astype(np.float64)
    share = np.bincount(predicted[low], minlength=n_classes) / np.where(each > 0, each, np.nan)
    return Findings(share, -entropy, low, score=float(low.mean()))


OPINION = Opinion(
    name="strip",
    needs_data=True,
    needs_targets=False,
    line=None,
    method=(
        "Minus the mean entropy, in bits, of the predictions when 20 clean probes are added to the "
        "input one at a time, clipped to the probe's range; flagged below the 1 % quantile of the "
        "clean probes. The method judges inputs, not models, and says nothing of a model without "
        "triggered inputs at hand: the score is the share of the given data below that quantile "
        "(clean data: about 0.01), the class scores that share among the data predicted as each "
        "class. Needs the training data or other inputs under suspicion. Source: Gao et al. 2019, "
        "ACSAC, 113, arXiv:1902.06531."
    ),
    judge=_judge,
)
