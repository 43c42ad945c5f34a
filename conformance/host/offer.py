"""What an implementation offers: the options, dtypes and modes that it may be asked in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lossproof.spec import Page

COSTLY = 0.5  # effort below which each new structure costs a compilation


@dataclass(frozen=True)
class Offer:
    """What an implementation says it accepts, from its signature, its limits and a first question for each choice."""

    page: Page
    accepts: Sequence[str] | None  # None: any keyword
    fixed: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Sequence[str] = ("float64", "float32")
    modes: Sequence[str] = ("eager",)
    orders: Sequence[int] = (0, 1)
    refused: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # field -> choices it raised on
    ours: bool = False
    effort: float = 1.0  # share of the usual number of structures; below 1 where a new structure is costly

    @property
    def costly(self) -> bool:
        """Whether each new structure costs a compilation."""
        return self.effort < COSTLY

    @property
    def exact_dtypes(self) -> list[str]:
        """Return the dtypes that single calls are asked in: one where each call costs a compilation."""
        found = self.choices("dtype", ["float32", "float64"])
        return found[:1] if self.costly else found

    def has(self, name: str) -> bool:
        """Whether the function has a parameter of this name."""
        return self.accepts is None or name in self.accepts

    def neutral(self, name: str) -> Any:
        """Return the value of an option that the function has no parameter for."""
        return self.fixed.get(name, self.page.parameters.get(name, {}).get("default"))

    def choices(self, name: str, wanted: Sequence[Any]) -> list[Any]:
        """Return those of the wanted values of a field that the implementation offers."""
        if name == "dtype":
            offered = [d for d in wanted if d in self.dtypes]
        elif name == "mode":
            offered = [m for m in wanted if m in self.modes]
        elif name == "mask":
            offered = [m for m in wanted if m is None or self.has("mask")]
        elif name == "order":
            offered = [o for o in wanted if o in self.orders]
        elif name in self.page.parameters:
            offered = list(wanted) if self.has(name) else [v for v in wanted if v == self.neutral(name)]
        else:
            return list(wanted)
        return [v for v in offered if v not in self.refused.get(name, ()) and self._within(name, v)]

    def _within(self, name: str, value: Any) -> bool:
        limit = self.limits.get(name)
        return limit is None or value in limit
