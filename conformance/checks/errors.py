"""Bad input raises, and its legal sibling does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.conformance.case import Case
from lossproof.conformance.compare import trouble
from lossproof.conformance.judge import Judge, Unsupported
from lossproof.conformance.verdict import Finding, Mismatch, Probe, Result


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask the legal call, then the same call with one thing wrong."""
    module, offer = judge.modules[probe.loss], judge.offers[probe.loss]
    legal = module.legal(offer)
    changed = probe.options.get("parameters", {})
    for name in [*changed, *(["mask"] if "mask" in probe.options.get("inputs", {}) else [])]:
        if not offer.has(name):
            raise Unsupported(f"no parameter {name}")
        if any(v in offer.refused.get(name, ()) for v in [changed.get(name)]) and probe.clause not in (
            "CV-27",
            "CV-28",
        ):
            raise Unsupported(f"{name} = {changed[name]!r}")
    inputs = {name: np.array(value) for name, value in probe.options.get("inputs", {}).items()}
    dtypes = probe.options.get("dtypes", {})
    judge.reads(dtypes)
    wrong = replace(legal, inputs={**legal.inputs, **inputs}, parameters={**legal.parameters, **changed}, dtypes=dtypes)
    result.planned += 2
    sibling = judge.ask(_sibling(legal, inputs))
    if sibling.trouble:
        mismatch = trouble(sibling)
        assert mismatch is not None
        result.findings.append(Finding(probe.loss, "CV-23", "", probe.check, mismatch, legal))
        return
    answer = judge.ask(wrong)
    if answer.refused:
        return
    if answer.trouble:
        mismatch = Mismatch("failure", "the call", answer.trouble, "an error", 0.0, np.inf, errored=True)
    else:
        assert answer.value is not None
        got = float(answer.value) if answer.value.ndim == 0 else answer.value.tolist()
        mismatch = Mismatch("accepted", "the call", got, "an error", 0.0, np.inf)
    result.findings.append(judge.finding(probe, mismatch, wrong))


def _sibling(legal: Case, inputs: dict[str, np.ndarray]) -> Case:
    """Return the legal call, with a legal mask where the wrong call has a wrong one."""
    if "mask" not in inputs:
        return legal
    units = next(iter(legal.inputs.values())).shape[:-1]
    return replace(legal, inputs={**legal.inputs, "mask": np.ones(units, bool)})
