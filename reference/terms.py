"""From terms to a loss and its gradients (spec/conventions.md): what every loss of the reference does alike."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from lossproof.reference.typing import Array

P = ParamSpec("P")


class Loss(ABC):
    """A loss at a point."""

    @abstractmethod
    def value(self) -> Array:
        """Return the loss."""

    def by_row(self) -> Array:
        """Return what the terms of each row, or of each anchor, add to the loss: numbers whose first axis is theirs."""
        raise TypeError(f"{type(self).__name__} is no sum over rows")

    @abstractmethod
    def gradients(self, cotangent: Array) -> dict[str, Array]:
        """Return the gradients of ``sum(cotangent * value)`` by input."""


@dataclass(frozen=True)
class Terms(Loss):
    """A loss that is the reduction of its terms; each page adds the arrays that its gradients are made of."""

    terms: Array
    takes_part: Array  # CV-7
    reduction: str
    unit_weights: Array | None = field(default=None, kw_only=True)  # CV-39

    def value(self) -> Array:
        """Return each term times its weight ("none"), or the sum of these."""
        terms = self.by_row()
        return terms if self.reduction == "none" else np.asarray(np.sum(terms))

    def by_row(self) -> Array:
        """Return each term times its weight."""
        return times(self.weights(), self.terms)  # CV-8, CV-41

    def weights(self) -> Array:
        """Return d loss / d term, or that of each entry with "none"; 0 for a term that takes no part."""
        weight = np.where(self.takes_part, 1 if self.unit_weights is None else self.unit_weights, 0)  # CV-39
        weight = weight.astype(np.result_type(weight, self.terms.dtype))
        if self.reduction in ("none", "sum"):  # CV-1, CV-2
            return weight
        return np.asarray(self.over(weight))

    def over(self, weight: Array) -> Array:
        """Return the weights of the terms over what a mean divides by."""
        total = np.sum(weight[self.counted()])  # CV-3, CV-40
        return np.asarray(weight / (total if total > 0 else 1))  # over nothing, CV-5, CV-6 and CV-43

    def counted(self) -> Array:
        """Return which terms a mean is over."""
        if self.reduction == "mean_nonzero":  # CV-4; a NaN term is counted, CV-10
            return np.asarray(self.takes_part & ~(self.terms <= 0))
        return self.takes_part

    @np.errstate(all="ignore")
    def gradients(self, cotangent: Array) -> dict[str, Array]:
        """Return the gradients of ``sum(cotangent * value)`` by input."""
        return self.to_inputs(times(self.weights(), cotangent))

    @abstractmethod
    def to_inputs(self, w: Array) -> dict[str, Array]:
        """Return the gradients by input, where `w` is that of each term."""


def times(w: Array, part: Array) -> Array:
    """Return w * part, but 0 where w is 0, whatever the part holds."""
    return np.where(w != 0, w * part, 0)


def softened(slack: Array, reduction: str) -> tuple[Array, Array, str]:
    """Return the terms log(1 + exp(slack)) of a soft margin, their slopes, and the reduction: each term is positive."""
    slope = np.exp(-np.logaddexp(0, -slack))
    return np.logaddexp(0, slack), slope, "mean" if reduction == "mean_nonzero" else reduction


def differentiable(loss: Callable[P, Loss]) -> Callable[P, Any]:
    """Let a function that returns a `Loss` return its value, and its gradients too where `cotangent` is given."""

    @wraps(loss)
    @np.errstate(all="ignore")
    def answer(*args: P.args, **kwargs: P.kwargs) -> Any:
        found, cotangent = loss(*args, **kwargs), kwargs.get("cotangent")
        if cotangent is None:
            return found.value()
        return found.value(), found.gradients(np.asarray(cotangent))

    answer.__signature__ = inspect.signature(loss).replace(return_annotation="Any")  # type: ignore[attr-defined]
    return answer


def at(loss: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Loss:
    """Return the `Loss` that a function made by `differentiable` answers from."""
    with np.errstate(all="ignore"):
        found: Loss = inspect.unwrap(loss)(*args, **kwargs)
    return found
