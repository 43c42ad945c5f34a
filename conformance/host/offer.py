"""What an implementation offers: the options, dtypes and modes that it may be asked in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lossproof.conformance.host.case import from_json
from lossproof.conformance.host.options import parameters_of
from lossproof.spec import Page, losses

# Fields of arguments that a call may go without, and the arguments that a choice needs
_WEIGHED = ("some", "some are 0", "all are 0", "of every size")
_SECOND_SET = ("candidates", "candidate_labels")
OPTIONAL: Mapping[str, Mapping[str | None, tuple[str, ...]]] = {
    "mask": {"some": ("mask",), "nothing": ("mask",)},
    "weights": dict.fromkeys(_WEIGHED, ("weights",)),
    "class_weights": dict.fromkeys(_WEIGHED, ("class_weights",)),
    "candidates": {
        "others": _SECOND_SET,
        "masked": (*_SECOND_SET, "candidate_mask"),
        "indexed": (*_SECOND_SET, "candidate_index"),
        "masked and indexed": (*_SECOND_SET, "candidate_mask", "candidate_index"),
        "none at all": _SECOND_SET,
        "as many": _SECOND_SET,
        "as many, masked": (*_SECOND_SET, "candidate_mask"),
        "fewer": _SECOND_SET,
        "a crowd": _SECOND_SET,
        "the rows themselves": _SECOND_SET,
    },
}
INSTEAD = {"captured": "compiled"}  # the mode that is asked where the first is not offered
COSTLY = 0.5  # effort below which each new structure costs a compilation


@dataclass(frozen=True)
class Offer:
    """What an implementation says it accepts of a loss, or of another function: from its signature and its limits.

    Of a loss, what it raised on when it was first asked is left out.
    """

    name: str
    accepts: Sequence[str] | None  # None: any keyword
    fixed: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Sequence[str] = ("float64", "float32")
    modes: Sequence[str] = ("eager",)
    orders: Sequence[int] = (0, 1)
    integers: Sequence[str] = ("int64",)
    refused: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # field -> choices it raised on
    ours: bool = False
    even: bool = False  # of a batch over processes: all must hold equally many rows
    effort: float = 1.0  # share of the usual number of structures; below 1 where a new structure is costly

    @classmethod
    def of(cls, name: str, hello: Mapping[str, Any], *, ours: bool) -> Offer:
        """Return what an implementation says of a loss, or of another function, in its hello."""
        entry = hello["losses"][name] if name in hello["losses"] else hello["functions"][name]
        limits = {option: [from_json(value) for value in own] for option, own in entry.get("limits", {}).items()}
        return cls(
            name,
            accepts=entry.get("accepts"),
            fixed={option: from_json(value) for option, value in entry.get("fixed", {}).items()},
            limits=limits,
            dtypes=[dtype for dtype in hello["dtypes"] if dtype in limits.get("dtype", hello["dtypes"])],
            modes=hello.get("modes", ["eager"]),
            orders=hello.get("orders", [0, 1]),
            integers=hello.get("integers", ["int64"]),
            ours=ours,
            even=hello.get("ranks", {}).get("even", False),
            effort=float(hello.get("effort", 1.0)),
        )

    @property
    def page(self) -> Page:
        """Return the page of the loss."""
        return losses()[self.name]

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Return the options that the page gives the loss, or the function."""
        return parameters_of(self.name)

    @property
    def plain_dtype(self) -> str:
        """Return the dtype of plain calls."""
        return "float64" if "float64" in self.dtypes else "float32"

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
        return self.fixed.get(name, self.parameters.get(name, {}).get("default"))

    def choices(self, name: str, wanted: Sequence[Any]) -> list[Any]:
        """Return those of the wanted values of a field that the implementation offers."""
        if name == "dtype":
            offered = [d for d in wanted if d in self.dtypes]
        elif name == "mode":
            offered = [m for m in (m if m in self.modes else INSTEAD.get(m) for m in wanted) if m in self.modes]
        elif name in OPTIONAL:
            offered = [choice for choice in wanted if all(map(self.has, OPTIONAL[name].get(choice, ())))]
        elif name == "order":
            offered = [o for o in wanted if o in self.orders]
        elif name in self.parameters:
            offered = list(wanted) if self.has(name) else [v for v in wanted if v == self.neutral(name)]
        else:
            return list(wanted)
        return [v for v in offered if v not in self.refused.get(name, ()) and self._within(name, v)]

    def sets(self, name: str, value: Any) -> bool:
        """Whether a call can give an option this value."""
        return self.has(name) and bool(self.choices(name, [value]))

    def allows(self, given: Mapping[str, Any], inputs: Iterable[str]) -> bool:
        """Whether the implementation has inputs and options of a call, and the defaults of those that are not given."""
        distance = given.get("distance", "p_norm")
        for name, entry in self.parameters.items():
            applies = distance == entry.get("applies_to", distance)
            applies = applies and not (name == "eps_at" and given.get("eps") == 0)
            if applies and not self.choices(name, [given.get(name, entry.get("default"))]):
                return False
        needed = {argument for field in OPTIONAL.values() for names in field.values() for argument in names}
        fields = [name for name in OPTIONAL if name in inputs]
        return all(map(self.has, needed & {*inputs})) and all(self.choices(n, [*OPTIONAL[n]][:1]) for n in fields)

    def _within(self, name: str, value: Any) -> bool:
        limit = self.limits.get(name)
        return limit is None or value in limit
