"""Deliberately broken implementations: what a suite is worth is what it kills."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lossproof.conformance.host.ranks import Ranks


@dataclass(frozen=True)
class Mutant:
    """One wrong implementation, and the clause that a judge must name.

    Args:
        id: its permanent name.
        bug: what is wrong, in one sentence.
        clauses: a finding must name one of these.
        function: the loss.
        seen: where such a bug was seen, or empty.
        ours: wrong only against the spec's own choices at kinks or its wider domain, which bind our backends alone.
        loss: the loss of the spec that it claims to be.
        framework: what it is written in.
        ranks: how it spreads a batch over processes, where it does.
        target: where the processes of a group find it.
    """

    id: str
    bug: str
    clauses: tuple[str, ...]
    function: Callable[..., Any]
    seen: str = ""
    ours: bool = False
    loss: str = "triplet_margin_loss"
    framework: str = "torch"
    ranks: Ranks | None = None
    target: str = ""


def table(*mutants: Mutant) -> dict[str, Mutant]:
    """Return mutants by id; ValueError for an id that is used twice."""
    found = {mutant.id: mutant for mutant in mutants}
    if len(found) < len(mutants):
        raise ValueError("two mutants share an id")
    return found
