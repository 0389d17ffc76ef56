"""Four published defences against poisoned training data, as second opinions beside a scan.

Each is written as its paper describes it, seeded, with one interface: :func:`second_opinion`. They
do not take part in hessay's verdict. ``OPINIONS`` lists them with what each needs:

======================  ============================  =============================================
name                    needs                         looks at
======================  ============================  =============================================
spectral-signatures     probe, labelled training set  variance of each label's representations
activation-clustering   probe, labelled training set  two clusters in each label's representations
strip                   probe, suspected inputs       entropy of predictions under superposition
neural-cleanse          probe                         smallest patch that leads to each class
======================  ============================  =============================================

Read in this order: ``result`` (what all return), ``checks`` (what the first two ask of the data),
the four methods (``trigger_inversion`` before ``neural_cleanse``), ``ask``.
"""

from __future__ import annotations

from hessay.second_opinions.ask import OPINIONS, second_opinion
from hessay.second_opinions.result import Opinion, SecondOpinion

__all__ = ["OPINIONS", "Opinion", "SecondOpinion", "second_opinion"]
