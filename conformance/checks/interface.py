"""What is accepted, and the dtypes that come back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import FORMATS
from lossproof.conformance.host.offer import OPTIONAL
from lossproof.conformance.judge.compare import unanswered
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.judge.smallest import agree
from lossproof.conformance.plan.cases.structures import ordinary, terms_shape
from lossproof.conformance.plan.probe import OfAgreement, Probe

_WIDTH = {"float32": 24, "float64": 53}


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask legal calls, which must be right, or look at the dtypes that come back (CV-18)."""
    if not probe.of(OfAgreement).dtypes:
        return agree(judge, probe, result, ("value",), fills=1)

    offer = judge.offers[probe.loss]
    loss = judge.losses[probe.loss]
    plain, order = loss.legal(offer), 1 if 1 in offer.orders else 0
    shape = terms_shape(plain)

    def examine(structure: dict[str, Any]) -> Finding | None:
        parameters = (
            {"reduction": structure["reduction"]} if "reduction" in structure and offer.has("reduction") else {}
        )
        units = shape if structure.get("reduction") == "none" else ()
        case = replace(plain, dtype=structure["dtype"], parameters=parameters, order=order, cotangent=np.ones(units))
        more = OPTIONAL["candidates"].get(structure.get("candidates"), ())
        inputs = {**case.inputs, **{name: ordinary(plain, name) for name in more}}
        case = replace(case, mode=offer.modes[0], inputs=inputs)
        result.planned += 1
        answer = judge.ask(case)
        found = unanswered(answer)
        if found:
            return judge.finding(probe, found, case)
        if answer.unsupported:
            return None
        least = "float64" if case.dtype == "float64" else "float32"
        if _WIDTH.get(answer.value_dtype, 0) < _WIDTH[least]:
            mismatch = Mismatch("dtype", "loss", answer.value_dtype, f"{least} or wider for {case.dtype} inputs")
        else:
            wrong = {
                n: d for n, d in answer.gradient_dtypes.items() if d != case.dtype and n in case.inputs and d in FORMATS
            }
            if not wrong:
                return None
            name, dtype = next(iter(wrong.items()))
            mismatch = Mismatch("dtype", f"gradient of {name}", dtype, case.dtype)
        return judge.finding(probe, mismatch, case)

    judge.structures(probe, result, examine)
    return None
