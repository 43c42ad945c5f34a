"""Joint loss: what the judge asks besides value and gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lossproof.reference.joint import Joint
from lossproof.reference.judged.decisions import Overrides
from lossproof.reference.judged.evaluation import Evaluation, Gradients, judge
from lossproof.reference.terms import Loss
from lossproof.reference.typing import Array


@dataclass(frozen=True)
class Given(Loss):
    """A loss whose value and gradients are given."""

    of_value: Array
    of_gradients: Gradients

    def value(self) -> Array:
        """Return the value, or what is in its place."""
        return self.of_value

    def gradients(self, cotangent: Array) -> dict[str, Array]:
        """Return the gradients, or what is in their place."""
        return self.of_gradients(cotangent)


@judge.register
def _(found: Joint, overrides: Overrides) -> Evaluation:
    own, triplet, pull = judge(found.own, None), judge(found.triplet, overrides), judge(found.pull, None)
    taken = replace(found, triplet=Given(triplet.value, triplet.vjp))
    scales = [Given(part.scale, part.vjp_scale) for part in (own, triplet, pull)]
    sizes = replace(found, own=scales[0], triplet=scales[1], pull=scales[2])
    return Evaluation(taken.value(), sizes.value(), taken.gradients, sizes.gradients, triplet.decisions)
