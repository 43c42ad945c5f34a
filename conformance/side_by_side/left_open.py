"""What the spec leaves open in a case: what undecided decisions reach, and rows that hold no numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.oracle import Expected, Oracle
from lossproof.conformance.plan.contract import LossCases

MOST = 64  # decisions that are each taken the other way; with more, everything is left open


@dataclass(frozen=True)
class LeftOpen:
    """Entries of the loss and of gradients that nobody is held to, and why in words."""

    entries: Mapping[str, Array]
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Return why, in one sentence, or nothing."""
        if len(self.reasons) > MOST:
            return f"all of it is undecided: {len(self.reasons)} decisions, {self.reasons[0]} and others"
        more = f" and {len(self.reasons) - 3} more" if len(self.reasons) > 3 else ""
        return f"undecided: {', '.join(self.reasons[:3])}{more}" if self.reasons else ""


def left_open(oracle: Oracle, own: LossCases, case: Case) -> LeftOpen:
    """Return what a case leaves open at its precision: each undecided decision is taken the other way."""
    evaluation = oracle.evaluate(case)
    base, undecided = oracle.expected(case, evaluation), oracle.undecided(case, evaluation)
    right = _arrays(base)
    found = {where: np.full(array.shape, len(undecided) > MOST) for where, array in right.items()}
    budgets = {"loss": base.value_budget("direct")}
    budgets |= {f"gradient of {name}": budget for name, budget in base.gradient_budget("direct").items()}
    for place, outcomes in undecided if len(undecided) <= MOST else ():
        for outcome in (outcome for outcome in outcomes if outcome is not None):
            other = _arrays(oracle.expected(case, oracle.evaluate(case, {place: outcome})))
            for where, array in other.items():
                found[where] |= ~(np.abs(array - right[where]) <= budgets[where])
    reasons = [f"{name} at {list(place)}" if place else name for (name, place), _ in undecided]
    for name, rows in _not_finite(own, case).items():
        where = "loss" if name == "loss" else f"gradient of {name}"
        mask = rows if where == "loss" else rows[..., None]
        if where in found and np.ndim(found[where]) == np.ndim(mask):
            found[where] |= mask
        reasons += [f"rows of {name} that hold NaN or infinity"] if name != "loss" and rows.any() else []
    return LeftOpen(found, tuple(reasons))


def _arrays(expected: Expected) -> dict[str, Array]:
    return {"loss": expected.value, **{f"gradient of {name}": array for name, array in expected.gradients.items()}}


def _not_finite(own: LossCases, case: Case) -> Mapping[str, Array]:
    """Return what CV-11 and CV-12 leave open, where a row holds NaN or infinity."""
    wild = any(not np.isfinite(case.inputs[name]).all() for name in own.page.rows if name in case.inputs)
    return own.unspecified(case) if wild and own.unspecified else {}
