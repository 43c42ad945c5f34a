"""One function that may be recognised, up to its numbers: what it gives, and the setting of a page that it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import lossproof.reference as reference
from lossproof.conformance.host.arrays import Array
from lossproof.conformance.identify.formulas import Batch, reduced, unit
from lossproof.spec import Setting, losses

Formula = Callable[[Batch, Mapping[str, Any]], tuple[Array, Array]]


@dataclass(frozen=True)
class Candidate:
    """One function up to its numbers.

    Args:
        loss: the loss of the page that it is, or is nearest to.
        options: options of the page.
        starts: the numbers that it works with, and where their search starts.
        formula: its terms; None where the reference is asked.
        words: what the formula takes besides.
        convert, departs: as in a `Setting`.
        reduction: of the page, or "rows".
    """

    loss: str
    options: Mapping[str, Any] = field(default_factory=dict)
    starts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    formula: Formula | None = None
    words: Mapping[str, Any] = field(default_factory=dict)
    convert: Mapping[str, Any] = field(default_factory=dict)
    departs: str = ""
    reduction: str = "mean"

    @property
    def has_floor(self) -> bool:
        """Whether the distances of the page have a floor."""
        return "floor" in losses()[self.loss].parameters and self.options.get("distance") != "cosine"

    @property
    def has_softplus(self) -> bool:
        """Whether it takes log(1 + exp(x)) of something."""
        soft = self.words.get("hinge") == "soft" or bool(self.options.get("soft_margin"))
        return soft or self.loss == "circle_loss"

    def value(self, inputs: Batch, numbers: Mapping[str, float]) -> Array:
        """Return the loss of a call, in float64."""
        given, times = self._colder(self.converted(inputs), numbers), numbers.get("times", 1.0)
        own = {n: v for n, v in numbers.items() if n not in self._around(numbers)}
        rows = len(next(iter(inputs.values())))
        if self.formula is None:
            own = {n: v for n, v in own.items() if n in losses()[self.loss].parameters}
            how = "sum" if self.reduction == "rows" else self.reduction
            found = getattr(reference, self.loss)(**given, **{**self.options, **own, **_reduction(self.loss, how)})
            return np.asarray(times * found / (max(rows, 1) if self.reduction == "rows" else 1))
        terms, part = self.formula(given, {**self.options, **self.words, **own})
        return times * reduced(terms, part, self.reduction, rows)

    def _around(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Return the numbers of what is done around the call."""
        page = losses()[self.loss].parameters
        return {n: v for n, v in numbers.items() if n in ("times", "temperature") and n not in page}

    def _colder(self, given: Batch, numbers: Mapping[str, float]) -> Batch:
        """Return the arrays with the logits over a temperature, where it is no option of the page."""
        temperature = self._around(numbers).get("temperature")
        return Batch({**given, "logits": given["logits"] / temperature}) if temperature else given

    def converted(self, inputs: Batch) -> Batch:
        """Return the arrays as our call gets them."""
        found: Batch = inputs.once(("converted", *self.convert.items()), lambda: self._converted(inputs))
        return found

    def _converted(self, inputs: Batch) -> Batch:
        found = dict(inputs)
        if self.convert.get("rows") == "unit":
            found |= {name: unit(found[name]) for name in losses()[self.loss].rows}
        if "dissimilar" in found:
            found["dissimilar"] = np.asarray((found["dissimilar"] > 0) != bool(self.convert.get("labels")))
        return Batch(found)

    def gradients(self, inputs: Batch, numbers: Mapping[str, float]) -> dict[str, Array]:
        """Return the gradients of the sum of the value of a page's setting, by input."""
        given, page = self._colder(self.converted(inputs), numbers), losses()[self.loss]
        own = {n: v for n, v in numbers.items() if n in page.parameters}
        how = "sum" if self.reduction == "rows" else self.reduction
        shape = self.value(inputs, numbers).shape
        options = {**self.options, **own, **_reduction(self.loss, how)}
        times = numbers.get("times", 1.0) / (max(len(given[page.rows[0]]), 1) if self.reduction == "rows" else 1)
        found = getattr(reference, self.loss)(**given, **options, cotangent=np.full(shape, times))[1]
        if self.convert.get("rows") == "unit":
            found = dict(found) | {n: _through_unit(found[n], inputs[n], given[n]) for n in page.rows}
        if "temperature" in self._around(numbers):
            found = dict(found) | {"logits": found["logits"] / numbers["temperature"]}
        return dict(found)

    def of_the_page(self) -> Candidate:
        """Return the setting of the page that it is, or is nearest to, which the reference answers."""
        return replace(self, formula=None, words={}, departs="")

    def bounds(self, name: str) -> tuple[float, float]:
        """Return the least and the largest number that the page allows."""
        entry = losses()[self.loss].parameters.get(name, {"range": "(-inf, inf)"})
        low, high = entry["range"][1:-1].split(", ")
        return float(low), float(high)

    def core(self) -> str:
        """Return what decides where there is one term: not its reduction to a number, nor a swap."""
        options = {n: v for n, v in self.options.items() if n != "swap"}
        return repr((self.loss, options, self.words, self.convert, self.departs, self.reduction == "none"))

    def setting(self, numbers: Mapping[str, float]) -> Setting:
        """Return the setting with its numbers; what is the page's default is left out."""
        page = losses()[self.loss].parameters
        how = "mean" if self.reduction == "rows" else self.reduction
        own = {**self.options, **{n: v for n, v in numbers.items() if n in page}, **_reduction(self.loss, how)}
        convert = dict(self.convert) | ({"denominator": "rows"} if self.reduction == "rows" else {})
        convert |= {name: value for name, value in self._around(numbers).items() if value != 1.0}
        kept = {n: v for n, v in own.items() if v != page[n].get("default")}
        return Setting(self.loss, kept, convert, self.departs)


def _through_unit(gradient: Array, rows: Array, units: Array) -> Array:
    """Return the gradient of rows from that of the rows divided by their norms."""
    norm = np.linalg.norm(rows, axis=-1, keepdims=True)
    along = np.sum(gradient * units, axis=-1, keepdims=True)
    return np.asarray((gradient - along * units) / np.where(norm > 0, norm, np.inf))


def _reduction(loss: str, how: str) -> dict[str, str]:
    return {"reduction": how} if "reduction" in losses()[loss].parameters else {}
