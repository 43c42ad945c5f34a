"""Broken triplet margin losses, each the correct one with a method or two replaced."""

from __future__ import annotations

from audit.mutants import Mutant, table
from audit.mutants.correct import CORRECT
from audit.mutants.elsewhere import ELSEWHERE
from audit.mutants.triplet_margin_distances import DISTANCES
from audit.mutants.triplet_margin_gradients import GRADIENTS
from audit.mutants.triplet_margin_interface import INTERFACE
from audit.mutants.triplet_margin_seldom import SELDOM
from audit.mutants.triplet_margin_terms import TERMS

MUTANTS: dict[str, Mutant] = table(*TERMS, *DISTANCES, *GRADIENTS, *INTERFACE, *SELDOM, *ELSEWHERE)

__all__ = ["CORRECT", "MUTANTS"]
