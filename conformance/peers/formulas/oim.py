"""Formulas of online instance matching: open-reid, SeqNet, and the person_search of SeqNet's author.

Each moves its memory in the backward pass, after it has taken the gradient of the memory as it was; here the loss and
what is left in the memory are two functions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = 5554  # the label that SeqNet's loss leaves out, whatever the memory holds: CUHK-SYSU has 5532 identities
WRITTEN = 64  # the first numbers of a row are all that person_search writes into its queue


def open_reid(inputs: Tensor, targets: Tensor, lut: Tensor, scalar: float = 1.0) -> Tensor:
    """Return the cross-entropy of scalar x·LUT; there is no queue, and no row without an identity."""
    return functional.cross_entropy(inputs @ lut.detach().T * scalar, targets)


def open_reid_update(inputs: Tensor, targets: Tensor, lut: Tensor, momentum: float = 0.5) -> Tensor:
    """Return the table after each row has moved its identity, which is divided by its norm."""
    lut = lut.clone()
    for row, label in zip(inputs, targets, strict=True):
        lut[label] = momentum * lut[label] + (1.0 - momentum) * row
        lut[label] /= lut[label].norm()
    return lut


def seqnet(inputs: Tensor, labels: Tensor, lut: Tensor, cq: Tensor, oim_scalar: float = 30.0) -> Tensor:
    """Return the cross-entropy of scalar (x·LUT, x·CQ), over the rows whose label is not 5554."""
    scores = inputs @ torch.cat([lut.detach(), cq.detach()]).T
    return functional.cross_entropy(scores * oim_scalar, labels, ignore_index=IGNORED)


def seqnet_update(
    inputs: Tensor, labels: Tensor, lut: Tensor, cq: Tensor, header: int, momentum: float = 0.5
) -> tuple[Tensor, Tensor, int]:
    """Return the memory after each row: an identity moves as in open-reid, any other label is written into CQ."""
    cq, strangers = cq.clone(), labels >= len(lut)
    for row in inputs[strangers]:
        cq[header] = row
        header = (header + 1) % len(cq)
    return open_reid_update(inputs[~strangers], labels[~strangers], lut, momentum), cq, header


def person_search(features: Tensor, pid_labels: Tensor, lookup_table: Tensor, queue: Tensor) -> Tensor:
    """Return the cross-entropy of 10 (x·table, x·queue), over the rows whose label is neither -1 nor -2.

    The backward pass moves the rows of the table that are named, so that a label beyond it raises.
    """
    if (pid_labels >= len(lookup_table)).any():
        raise IndexError(f"a label is out of bounds of {len(lookup_table)} rows")
    scores = features @ torch.cat([lookup_table.detach(), queue.detach()]).T
    return functional.cross_entropy(scores * 10, pid_labels.where(pid_labels != -2, -1), ignore_index=-1)


def person_search_update(
    features: Tensor, pid_labels: Tensor, lookup_table: Tensor, queue: Tensor, tail: int, momentum: float = 0.5
) -> tuple[Tensor, Tensor, int]:
    """Return the memory after each row: an identity moves, not normalised; of a label -1 64 numbers are written."""
    table, queue = lookup_table.clone(), queue.clone()
    for row, label in zip(features, pid_labels, strict=True):
        if label >= 0:
            table[label] = momentum * table[label] + (1 - momentum) * row
        elif label == -1:
            queue[tail, :WRITTEN] = row[:WRITTEN]
            tail = tail + 1 if tail + 1 < len(queue) else tail + 1 - len(queue)
    return table, queue, tail
