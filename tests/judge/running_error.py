"""Running error analysis: numbers that carry a bound of their rounding error, and so do their derivatives.

A bound is to first order, in units of the roundoff u, and for any order in which sums are added (Higham, Accuracy and
Stability of Numerical Algorithms, section 3.3). `gradients` is the reverse mode in the same arithmetic: what autograd
computes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class Run:
    """A number, the bound of its error, and how a cotangent reaches each number that it was made of."""

    def __init__(self, value, error=0.0, *made_of: tuple[Run, Callable[[Run], Run]]):
        self.value = np.asarray(value, float)
        self.error = np.broadcast_to(np.asarray(error, float), self.value.shape)
        self.made_of = made_of

    def __add__(self, other):
        other = _run(other)
        value = self.value + other.value
        error = self.error + other.error + abs(value)
        return Run(value, error, (self, lambda g: _like(g, self)), (other, lambda g: _like(g, other)))

    def __neg__(self):
        return Run(-self.value, self.error, (self, lambda g: -g))

    def __sub__(self, other):
        return self + (-_run(other))

    def __mul__(self, other):
        other = _run(other)
        value = self.value * other.value
        error = abs(self.value) * other.error + abs(other.value) * self.error + abs(value)
        return Run(value, error, (self, lambda g: _like(g * other, self)), (other, lambda g: _like(g * self, other)))

    def __truediv__(self, other):
        other = _run(other)
        value = self.value / other.value
        error = (self.error + abs(value) * other.error) / abs(other.value) + abs(value)
        found = Run(value, error)
        found.made_of = (
            (self, lambda g: _like(g / other, self)),
            (other, lambda g: _like(-(g * found / other), other)),
        )
        return found

    def __abs__(self):
        return Run(abs(self.value), self.error, (self, lambda g: g._exactly(np.sign(self.value))))

    def __getitem__(self, place):
        return Run(self.value[place], self.error[place], (self, lambda g: g._into(place, self.value.shape)))

    def root(self):
        """The square root."""
        value = np.sqrt(self.value)
        found = Run(value, 0.5 * self.error / np.maximum(value, 1e-300) + value)
        found.made_of = ((self, lambda g: (g / found)._exactly(0.5)),)
        return found

    def exp(self, units=2.0):
        """The exponential; a library function may err by more than half a unit in the last place, but not at 0."""
        value = np.exp(self.value)
        found = Run(value, value * (self.error + units * (self.value != 0)))
        found.made_of = ((self, lambda g: g * found),)
        return found

    def log(self, units=2.0):
        """The natural logarithm."""
        value = np.log(self.value)
        return Run(value, self.error / self.value + units * abs(value), (self, lambda g: g / self))

    def relu(self):
        """The hinge."""
        return Run(np.maximum(self.value, 0), self.error, (self, lambda g: g._exactly(self.value > 0)))

    def where(self, chosen, other):
        """This where `chosen`, and the other elsewhere."""
        value, error = np.where(chosen, self.value, other.value), np.where(chosen, self.error, other.error)
        return Run(value, error, (self, lambda g: g._exactly(chosen)), (other, lambda g: g._exactly(~chosen)))

    def total(self, axis=-1):
        """Added in any order: each of n - 1 additions errs by at most the sum of the sizes."""
        count = self.value.size if axis is None else self.value.shape[axis]
        error = self.error.sum(axis) + max(count - 1, 0) * abs(self.value).sum(axis)
        return Run(self.value.sum(axis), error, (self, lambda g: g._spread(axis, self.value.shape)))

    def mean(self):
        """The mean of all numbers."""
        return self.total(None) / self.value.size

    def _exactly(self, factor):
        """Times powers of two, signs and zeros."""
        return Run(self.value * factor, self.error * abs(factor))

    def _spread(self, axis, shape):
        value, error = (a if axis is None else np.expand_dims(a, axis) for a in (self.value, self.error))
        return Run(np.broadcast_to(value, shape), np.broadcast_to(error, shape))

    def _into(self, place, shape):
        """Scatter into zeros; what meets there is added in any order."""
        value, error, size, count = (np.zeros(shape) for _ in range(4))
        for total, part in ((value, self.value), (error, self.error), (size, abs(self.value)), (count, 1.0)):
            np.add.at(total, place, part)
        return Run(value, error + np.maximum(count - 1, 0) * size)


def gradients(result: Run, numbers: list[Run]) -> list[Run]:
    """Return the cotangents of numbers for a scalar result; those of several uses are added in any order."""
    order: dict[int, Run] = {}

    def visit(node: Run) -> None:
        if id(node) not in order:
            for part, _ in node.made_of:
                visit(part)
            order[id(node)] = node

    visit(result)
    met: dict[int, list[Run]] = {id(result): [Run(1.0)]}
    for key, node in reversed(order.items()):
        arrived = met.setdefault(key, [Run(np.zeros(node.value.shape))])
        g = arrived[0] if len(arrived) == 1 else _stack(arrived).total(0)
        met[key] = [g]
        for part, back in node.made_of:
            met.setdefault(id(part), []).append(back(g))
    return [met[id(number)][0] for number in numbers]


def _run(number) -> Run:
    return number if isinstance(number, Run) else Run(number)


def _stack(numbers: list[Run]) -> Run:
    return Run(np.stack([n.value for n in numbers]), np.stack([n.error for n in numbers]))


def _like(g: Run, number: Run) -> Run:
    """Add a cotangent up over the axes along which a number was broadcast."""
    while g.value.ndim > number.value.ndim:
        g = g.total(0)
    for axis, size in enumerate(number.value.shape):
        if size == 1 and g.value.shape[axis] != 1:
            added = g.total(axis)
            g = Run(np.expand_dims(added.value, axis), np.expand_dims(added.error, axis))
    return g
