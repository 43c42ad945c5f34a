"""A loss as the conventions see it: the fields that it has, and probes that vary them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lossproof.conformance.plan.contract import Choices, LossCases
from lossproof.conformance.plan.probe import Options, Probe
from lossproof.spec import Page

Fields = dict[str, tuple[Any, ...]]
CLOSED = ("distance", "p", "reduction", "swap")  # fields whose values the page lists; others take any number


@dataclass(frozen=True)
class Varied:
    """The cases of a loss, with the fields that most probes of the conventions share."""

    cases: LossCases

    @property
    def page(self) -> Page:
        """Return the page of the loss."""
        return self.cases.page

    @property
    def space(self) -> Choices:
        """Return every field with its choices."""
        return self.cases.space

    @property
    def reductions(self) -> tuple[str, ...]:
        """Return the reductions of the loss."""
        return tuple(self.page.front.get("reductions", ()))

    @property
    def means(self) -> tuple[str, ...]:
        """Return the reductions that divide by a count."""
        return tuple(r for r in self.reductions if r.startswith("mean"))

    @property
    def every(self) -> Fields:
        """Return the field of every reduction, where the loss has any."""
        return {"reduction": self.reductions} if self.reductions else {}

    @property
    def options(self) -> Fields:
        """Return the options that the conventions are asked about, with all their choices."""
        return self._of(self.cases.varied)

    @property
    def choices(self) -> Fields:
        """Return those options, the distances and the swap."""
        return self._of(("distance", "p", "swap", *self.cases.varied))

    def _of(self, names: Sequence[str]) -> Fields:
        return {name: self.space[name] for name in names if name in self.space}

    def probe(
        self,
        check: str,
        clause: str,
        label: str = "",
        effort: float = 1.0,
        options: Options | None = None,
        *,
        vary: Choices,
    ) -> Probe:
        """Return a probe of those fields that the loss has, with those values that it has at all."""
        known = {name: self._possible(name, values) for name, values in vary.items() if name in self.space}
        return Probe(self.cases.loss, check, clause, label, known, options or Options(), effort)

    def _possible(self, name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return those values that the loss has at all; other fields than these take any number."""
        if name not in CLOSED:
            return values
        return tuple(value for value in values if value in self.space[name]) or self.space[name][:1]
