"""Broken triplet margin losses, each the correct one with a method or two replaced."""

from __future__ import annotations

from lossproof.conformance.mutants import Mutant, table
from lossproof.conformance.mutants.correct import CORRECT
from lossproof.conformance.mutants.elsewhere import ELSEWHERE
from lossproof.conformance.mutants.triplet_margin_distances import DISTANCES
from lossproof.conformance.mutants.triplet_margin_gradients import GRADIENTS
from lossproof.conformance.mutants.triplet_margin_interface import INTERFACE
from lossproof.conformance.mutants.triplet_margin_seldom import SELDOM
from lossproof.conformance.mutants.triplet_margin_terms import TERMS

MUTANTS: dict[str, Mutant] = table(*TERMS, *DISTANCES, *GRADIENTS, *INTERFACE, *SELDOM, *ELSEWHERE)

__all__ = ["CORRECT", "MUTANTS"]
