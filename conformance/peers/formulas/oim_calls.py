"""The formulas of online instance matching as losses and updates of the page.

Open-reid's is none of them: every row has an identity there, and the judge's have not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lossproof.conformance.host.formulas import formula
from lossproof.conformance.peers.formulas import oim
from lossproof.conformance.peers.formulas.pairs import FORMATS

Memory = tuple[Tensor, Tensor, Tensor]
UPDATE = "update_oim_memory"
UNLABELLED = {"unlabelled": -1}  # the label of the page, which becomes that of the repository


def seqnet_loss(
    embeddings: Tensor, labels: Tensor, lookup_table: Tensor, queue: Tensor, temperature: float = 0.1
) -> Tensor:
    """Return SeqNet's loss: the scalar is one over the temperature, and what has no identity has the label 5554."""
    return oim.seqnet(embeddings, _ignored(labels), lookup_table, queue, 1 / temperature)


def person_search_loss(embeddings: Tensor, labels: Tensor, lookup_table: Tensor, queue: Tensor) -> Tensor:
    """Return the loss of person_search, which has the labels of the page."""
    return oim.person_search(embeddings, labels, lookup_table, queue)


def seqnet_update(
    lookup_table: Tensor, queue: Tensor, head: Tensor, embeddings: Tensor, labels: Tensor, momentum: float = 0.5
) -> Memory:
    """Return what SeqNet's backward pass leaves in its memory."""
    with torch.no_grad():
        found = oim.seqnet_update(embeddings, _ignored(labels), lookup_table, queue, int(head), momentum)
    return (*found[:2], torch.as_tensor(found[2]).to(head))


def person_search_update(
    lookup_table: Tensor, queue: Tensor, head: Tensor, embeddings: Tensor, labels: Tensor, momentum: float = 0.5
) -> Memory:
    """Return what the backward pass of person_search leaves in its memory."""
    with torch.no_grad():
        found = oim.person_search_update(embeddings, labels, lookup_table, queue, int(head), momentum)
    return (*found[:2], torch.as_tensor(found[2]).to(head))


def _ignored(labels: Tensor) -> Tensor:
    return labels.where(labels != -1, oim.IGNORED)


LIMITS = {"dtype": FORMATS}
seqnet = formula("serend1p1ty/SeqNet", "OIMLoss", seqnet_loss, (UPDATE, seqnet_update), limits=LIMITS, also=UNLABELLED)
person_search = formula(
    "serend1p1ty/person_search",
    "OIM",
    person_search_loss,
    (UPDATE, person_search_update),
    limits=LIMITS,
    also={**UNLABELLED, "normalise": False},
)
