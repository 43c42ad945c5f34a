"""What two implementations can be asked in common: the options that both have, and what each is given besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossproof.conformance.host.offer import Offer
from lossproof.conformance.host.options import arguments_of, parameters_of
from lossproof.conformance.host.words import shown
from lossproof.conformance.side_by_side.sides import Side

Options = Mapping[str, Any]


class Incomparable(Exception):
    """Two implementations have no call in common; the message is one line."""


@dataclass(frozen=True)
class Shared:
    """What both can be asked.

    Args:
        offer: the arguments that both have, as an offer to draw cases from.
        fixed: the options that each works with where no call of the pair gives them.
        given: options that each of the calls of one is given, as its target says.
        alike: options that one alone has, and is given as the other works.
    """

    offer: Offer
    fixed: tuple[Options, Options]
    given: tuple[Options, Options]
    alike: tuple[Options, Options]

    def besides(self, side: int, *, defaults: bool) -> Options:
        """Return the options that a call of one is given besides those of the case; few where all have defaults."""
        page = self.offer.parameters
        alike = {n: v for n, v in self.alike[side].items() if not defaults or v != page[n].get("default")}
        return {**alike, **self.given[side]}


def shared(one: Offer, other: Offer, a: Side, b: Side) -> Shared:
    """Return what two can be asked in common; Incomparable where that is nothing.

    An option that the target of one of them gives is left to its default in the other.
    """
    loss = one.name
    given = a.given, b.given
    for offer, side in zip((one, other), (a, b), strict=True):
        for name, value in side.given.items():
            if name not in parameters_of(loss) or not offer.has(name) or not offer.choices(name, [value]):
                raise Incomparable(f"{side.title}: {loss} has no {name} = {shown(value)}")
    both = [n for n in arguments_of(loss) if one.has(n) and other.has(n) and n not in {**given[0], **given[1]}]
    alike: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name in (n for n in parameters_of(loss) if n not in {*both, *given[0], *given[1]}):
        for place, (offer, partner, side, named) in enumerate(((one, other, a, b), (other, one, b, a))):
            value = partner.neutral(name)
            if offer.has(name) and value is not None:
                if not offer.choices(name, [value]):
                    raise Incomparable(
                        f"{side.title} does not offer {loss} with {name} = {shown(value)}, "
                        f"with which {named.title} works"
                    )
                alike[place][name] = value
    return Shared(_joint(one, other, both, {**alike[0], **alike[1]}), (one.fixed, other.fixed), given, alike)


def _joint(one: Offer, other: Offer, both: list[str], alike: Options) -> Offer:
    """Return an offer of what both have."""
    names = {*one.limits, *other.limits}
    limits = {n: [v for v in one.limits.get(n, other.limits.get(n)) if v in other.limits.get(n, [v])] for n in names}
    dtypes = [dtype for dtype in one.dtypes if dtype in other.dtypes]
    if not {"float32", "float64"} & {*dtypes}:
        raise Incomparable(f"{one.name}: one works in {', '.join(one.dtypes)}, the other in {', '.join(other.dtypes)}")
    empty = [n for n in both if n in limits and not limits[n]]
    if empty:
        raise Incomparable(f"{one.name}: no {empty[0]} is claimed by both")
    refused = {n: (*one.refused.get(n, ()), *other.refused.get(n, ())) for n in {*one.refused, *other.refused}}
    return Offer(
        one.name,
        both,
        fixed={**other.fixed, **one.fixed, **alike},
        limits={n: values for n, values in limits.items() if n in both},
        dtypes=dtypes,
        modes=one.modes[:1],
        orders=[order for order in one.orders if order in other.orders],
        refused=refused,
        ours=one.ours and other.ours,
        effort=min(one.effort, other.effort),
    )


def applicable(loss: str, options: Options) -> dict[str, Any]:
    """Return the options that a call may be given together: those of its distance, and no margin beside a soft one."""
    page = parameters_of(loss)
    distance = options.get("distance", page.get("distance", {}).get("default"))
    soft = options.get("soft_margin", False)
    return {
        name: value
        for name, value in options.items()
        if page[name].get("applies_to", distance) == distance and not (soft and name == "margin")
    }
