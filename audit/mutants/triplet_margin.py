"""Broken triplet margin losses, each the correct one with a method or two replaced."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from audit.mutants import Mutant, table
from audit.mutants.correct import CORRECT, TripletMargin, broken
from audit.mutants.elsewhere import ELSEWHERE
from audit.mutants.soft_margin import soft_margins
from audit.mutants.triplet_margin_distances import DISTANCES
from audit.mutants.triplet_margin_gradients import GRADIENTS
from audit.mutants.triplet_margin_interface import INTERFACE
from audit.mutants.triplet_margin_seldom import SELDOM
from audit.mutants.triplet_margin_terms import TERMS


def _constant_slope(loss: TripletMargin, x: Tensor) -> Tensor:
    known = x.detach()
    return softplus(known, threshold=40.0) + torch.sigmoid(known) * (x - known)


SOFT = (
    broken(
        "soft-constant-slope", "the slope of the soft margin is a constant to autograd", "CV-14", soft=_constant_slope
    ),
    broken(
        "soft-swap", "with a soft margin swap is ignored", "TM-11", swaps=lambda loss, swap, soft: swap and not soft
    ),
    *(
        broken(f"soft-{name}", bug, clause, seen=seen, ours=False, **methods)
        for name, bug, clause, seen, methods in soft_margins("TM-11", "TM-7")
    ),
)
MUTANTS: dict[str, Mutant] = table(*TERMS, *DISTANCES, *GRADIENTS, *INTERFACE, *SELDOM, *SOFT, *ELSEWHERE)

__all__ = ["CORRECT", "MUTANTS"]
