"""The cross-entropy loss has no kink and takes no decision, so it has no boundary cases."""

from __future__ import annotations

from collections.abc import Iterator

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer

GRADIENT_BOUNDARIES: tuple[str, ...] = ()
VALUE_BOUNDARIES: tuple[str, ...] = ()


def boundaries(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    """Yield nothing."""
    yield from ()
