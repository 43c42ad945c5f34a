"""What an implementation offers: its signature, and one first question for each choice it might refuse.

The questions are also the smoke test: does the harness get any answer at all? A refusal is an error of the kinds with
which code says "no" to an option; anything else that goes wrong there is left to the probes, as a failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.case import Answer, Case, from_json
from lossproof.conformance.cases.space import Offer
from lossproof.conformance.session import Session
from lossproof.spec import losses

REFUSALS = {"ValueError", "TypeError", "NotImplementedError", "KeyError", "AssertionError"}
OWED = ("strided", "alone")  # nobody may decline to read such arrays, or to have one gradient without the others


def offers(session: Session, modules: Mapping[str, Any], *, ours: bool) -> dict[str, Offer]:
    """Return the offer of each loss of the implementation."""
    hello = session.hello
    found = {}
    for loss, entry in hello["losses"].items():
        if loss not in modules:
            continue
        limits = {name: [from_json(value) for value in values] for name, values in entry.get("limits", {}).items()}
        offer = Offer(
            page=losses()[loss],
            accepts=entry.get("accepts"),
            fixed={name: from_json(value) for name, value in entry.get("fixed", {}).items()},
            limits=limits,
            dtypes=[d for d in hello["dtypes"] if d in limits.get("dtype", hello["dtypes"])],
            modes=hello.get("modes", ["eager"]),
            orders=hello.get("orders", [0, 1]),
            ours=ours,
            effort=float(hello.get("effort", 1.0)),
        )
        found[loss] = offer if ours else _asked(session, modules[loss], offer)
    return found


def _asked(session: Session, module: Any, offer: Offer) -> Offer:
    """Return the offer without what the implementation refuses; an implementation that answers nothing keeps it all."""
    plain: Case | None = None
    for mode in offer.modes:
        candidate = replace(module.legal(offer), mode=mode)
        if session.ask(candidate).trouble is None:
            plain = candidate
            break
    if plain is None:
        return offer
    others = [mode for mode in offer.modes if mode != plain.mode]
    modes = [plain.mode, *(m for m in others if m in OWED or _works(session, replace(plain, mode=m)))]
    dtypes = [d for d in offer.dtypes if _works(session, replace(plain, dtype=d))]
    value = session.ask(plain).value
    ones = np.ones(() if value is None else value.shape)
    tangents = {name: np.ones(a.shape) for name, a in plain.inputs.items() if a.dtype.kind == "f"}
    orders = [0]
    for order in (1, 2):
        if order == 2 and "kappa_second" not in offer.page.front["accuracy"]:
            continue
        if order in offer.orders and _works(session, replace(plain, order=order, cotangent=ones, tangents=tangents)):
            orders.append(order)
    refused: dict[str, tuple[Any, ...]] = {}
    for name, entry in offer.page.parameters.items():
        choices = entry.get("choices", [False, True] if entry["kind"] == "bool" else [])
        if offer.has(name):
            refused[name] = tuple(c for c in choices if _refuses(session.ask(replace(plain, parameters={name: c}))))
    return replace(offer, modes=modes, dtypes=dtypes, orders=orders, refused=refused)


def _works(session: Session, case: Case) -> bool:
    answer = session.ask(case)
    return answer.trouble is None and not answer.unsupported


def _refuses(answer: Answer) -> bool:
    return bool(answer.unsupported) or (answer.error is not None and answer.error["type"].split(".")[-1] in REFUSALS)
