"""What the judge asks about one call: the value, its derivatives, their error scales, the decisions taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, ParamSpec

import numpy as np

from lossproof.reference.judged.decisions import Decisions, Overrides
from lossproof.reference.terms import Loss, Terms, at, times
from lossproof.reference.typing import Array

P = ParamSpec("P")
Arrays = Mapping[str, Array]
Gradients = Callable[[Array], dict[str, Array]]
PairError = Callable[[Array], Array]


@dataclass(frozen=True)
class Evaluation:
    """A loss at a point. Cotangents have the shape of `value`; tangents that of their input."""

    value: Array
    scale: Array  # S, reduced as the value is
    vjp: Gradients  # cotangent -> gradient of <cotangent, value>
    vjp_scale: Gradients  # cotangent -> w G, entry by entry
    decisions: Decisions
    distances: tuple[Array, ...] = ()  # of each term, the pairs it is made of: what a grade other than direct adds to
    # (cotangent, tangents) -> derivative of vjp along them; None where the page gives no second derivatives
    hvp: Callable[[Array, Arrays], dict[str, Array]] | None = None
    hvp_scale: Callable[[Array, Arrays], dict[str, Array]] | None = None
    # As `distances`, where a term is made of pairs of the batch: (d -> error of d, d -> error of its gradient,
    # cotangent) -> what they add to the value and to the gradient of each input
    pair_errors: Callable[[PairError, PairError, Array], tuple[Array, dict[str, Array]]] | None = None
    terms: int | None = None  # how many terms there are, where that is fewer than the shapes of the inputs say


@singledispatch
def judge(found: Loss, overrides: Overrides) -> Evaluation:
    """Return what the judge asks about a loss at a point; each module registers its own."""
    raise TypeError(f"nothing is known of {type(found).__name__}")


def evaluate(loss: Callable[P, Any], overrides: Overrides = None, /, *args: P.args, **kwargs: P.kwargs) -> Evaluation:
    """Return everything the judge asks about one call of a loss; `overrides` takes single decisions the other way."""
    found = at(loss, *args, **kwargs)
    with np.errstate(all="ignore"):
        return judge(found, overrides)


def reduced(scale: Array, found: Terms) -> Array:
    """Return the error scales of terms, reduced as the terms are."""
    scale = times(found.weights(), np.where(found.takes_part, scale, 0))
    return scale if found.reduction == "none" else np.asarray(np.sum(scale))
