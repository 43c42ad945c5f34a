"""What an implementation offers: its signature, and one first question for each choice it might refuse.

The questions are also the smoke test: where not one plain call is answered there is nothing to judge, and the run ends
with what the implementation said. A refusal is an error of the kinds with which code says "no" to an option; anything
else that goes wrong there is left to the probes, as a failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.host.offer import OPTIONAL, Offer
from lossproof.conformance.host.reproduce import line
from lossproof.conformance.host.session import HUNG, Asked, SessionError
from lossproof.conformance.host.words import cut
from lossproof.conformance.plan.cases.candidates import CANDIDATES, SECOND_SETS
from lossproof.conformance.plan.cases.functions import case_of, examples
from lossproof.conformance.plan.cases.structures import WEIGHED, ordinary
from lossproof.conformance.plan.contract import LossCases
from lossproof.spec import functions

MOST_CRASHES = 3  # of the first question
REFUSALS = {"ValueError", "TypeError", "NotImplementedError", "KeyError", "AssertionError"}
# Modes that are asked of everybody: to read strided arrays, and to give one gradient alone. Under strict switches an
# implementation may fail, and that is advice; unasked, it would not be heard.
OWED = ("strided", "alone", "strict")


class NoPlainCall(SessionError):
    """A loss or a function answers no plain call, so there is nothing to judge."""

    def __init__(self, hello: Mapping[str, Any], case: Case, answer: Answer):
        words = answer.problem or f"it says that the call is unsupported: {answer.unsupported}"
        super().__init__(f"{hello['name']}: {case.loss} answers no plain call: {cut(words)}")
        origin = case.loss in hello.get("origin", {})
        shown = [(answer.error or {}).get("traceback", "").rstrip(), line("", hello, case) if origin else ""]
        self.details = "\n".join(part for part in shown if part)


def offers(session: Asked, known: Mapping[str, LossCases], *, ours: bool) -> dict[str, Offer]:
    """Return the offer of each loss that is known, and of each other function, of the implementation."""
    found = {}
    for name in (name for name in session.hello["losses"] if name in known):
        offer = Offer.of(name, session.hello, ours=ours)
        found[name] = offer if ours else _asked(session, known[name], offer)
    others = [name for name in session.hello.get("functions", {}) if name in functions()]
    return found | {name: Offer.of(name, session.hello, ours=ours) for name in others}


def _asked(session: Asked, loss: LossCases, offer: Offer) -> Offer:
    """Return the offer without what the implementation refuses; NoPlainCall where it answers nothing."""
    plain = _plain(session, loss.legal(offer), offer)
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
    for name, entry in offer.parameters.items():
        choices = entry.get("choices", [False, True] if entry["kind"] == "bool" else [])
        if offer.has(name):
            refused[name] = tuple(c for c in choices if _refuses(session.ask(replace(plain, parameters={name: c}))))
    for name in filter(offer.has, offer.page.weights):
        weighed = replace(plain, inputs={**plain.inputs, name: ordinary(plain, name)})
        refused[name] = WEIGHED if _refuses(session.ask(weighed)) else ()
    if "mask" in offer.page.inputs and offer.has("mask"):  # to refuse one otherwise is a fault
        masked = session.ask(replace(plain, inputs={**plain.inputs, "mask": ordinary(plain, "mask")}))
        missing = masked.error is not None and _type(masked.error) == "NotImplementedError"
        refused["mask"] = tuple(OPTIONAL["mask"]) if missing else ()
    if "candidates" in offer.page.inputs and offer.choices("candidates", CANDIDATES[1:]):
        second = {name: ordinary(plain, name) for name in ("candidates", "candidate_labels")}
        asked = replace(plain, inputs={**plain.inputs, **second})
        refused["candidates"] = SECOND_SETS if _refuses(session.ask(asked)) else ()
    return replace(offer, modes=modes, dtypes=dtypes, orders=orders, refused=refused)


def _plain(session: Asked, legal: Case, offer: Offer) -> Case:
    """Return the first plain call that is answered: in the first mode with any dtype, else in any mode."""
    first, *others = offer.modes
    calls = [replace(legal, mode=first, dtype=dtype) for dtype in dict.fromkeys([legal.dtype, *offer.dtypes])]
    return _answered(session, [*calls, *(replace(legal, mode=mode) for mode in others)])


def _answered(session: Asked, calls: Sequence[Case]) -> Case:
    """Return the first of some plain calls that is answered; NoPlainCall shows the first that went wrong."""
    troubles: list[tuple[Case, Answer]] = []
    for case in calls:
        answer = session.ask(case)
        if answer.problem is None and not answer.unsupported:
            return case
        troubles.append((case, answer))
        if answer.failure and (answer.failure.startswith(HUNG) or len(troubles) >= MOST_CRASHES):
            break  # each costs a time limit, or a start
    said_most = next((pair for pair in troubles if pair[1].problem), troubles[0])  # not that it is unsupported
    raise NoPlainCall(session.hello, *said_most)


def answer_to_functions(session: Asked, names: Iterable[str]) -> None:
    """Raise NoPlainCall where a function that is no loss answers none of its worked examples."""
    known = session.hello.get("functions", {})
    for name in (name for name in names if name in functions() and name in known):
        offer = Offer.of(name, session.hello, ours=False)
        asked = [case_of(example, offer) for example in examples(name) if not example.raises]
        if asked:
            _answered(session, asked)


def _works(session: Asked, case: Case) -> bool:
    answer = session.ask(case)
    return answer.problem is None and not answer.unsupported


def _refuses(answer: Answer) -> bool:
    return bool(answer.unsupported) or (answer.error is not None and _type(answer.error) in REFUSALS)


def _type(error: Mapping[str, Any]) -> str:
    return str(error["type"]).split(".")[-1]
