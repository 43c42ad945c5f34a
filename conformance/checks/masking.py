"""Masked rows: their content changes no bit, their gradient is exactly 0, and masking is removing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.judge.compare import bits, unanswered
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.judge.smallest import agree
from lossproof.conformance.plan.probe import OfMasking, Probe
from lossproof.spec import losses


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """CV-7 by agreement with the oracle; CV-8 and CV-9 by two calls that differ in masked content alone."""
    options = probe.of(OfMasking)
    if not options.content:
        return agree(judge, probe, result, ("value",))

    def examine(structure: dict[str, Any]) -> Finding | None:
        case = judge.case(probe, structure, 0)
        if case is None or all(case.inputs[mask].all() for mask in _masks(case)):
            return None
        result.planned += 1
        clean = judge.ask(case)
        for content, width in ((np.nan, None), (np.inf, None), (3e4, None), (np.nan, 1)):
            dirty = _filled(case, content, width)
            mismatch = _compare(options.part, case, clean, judge.ask(dirty))
            if mismatch:
                return judge.finding(probe, mismatch, dirty)
        return None

    judge.structures(probe, result, examine)
    return None


def _filled(case: Case, content: float, width: int | None) -> Case:
    """Return a case with other content in masked rows: all of it, or only the first features."""
    inputs = dict(case.inputs)
    for mask, name in ((m, n) for m in _masks(case) for n in losses()[case.loss].aligned_to(m) if n in inputs):
        array, masked = inputs[name], ~case.inputs[mask]
        if name == mask:
            continue
        if name == "weights":
            inputs[name] = np.where(masked, content, array)
        elif array.dtype.kind == "f":
            part = np.arange(array.shape[-1]) < (array.shape[-1] if width is None else width)
            inputs[name] = np.where(masked[..., None] & part, content, array)
        elif array.dtype.kind == "i":
            inputs[name] = np.where(masked, 10**6, array)  # the label of no row of any table
        else:
            inputs[name] = np.where(masked, ~array, array)
    return replace(case, inputs=inputs)


def _masks(case: Case) -> list[str]:
    """Return the masks of a call: that of the units, and that of the candidates."""
    return [mask for mask in ("mask", "candidate_mask") if mask in case.inputs]


def _compare(part: str, case: Case, clean: Answer, dirty: Answer) -> Mismatch | None:
    found = unanswered(clean) or unanswered(dirty)
    if found or clean.unsupported:
        return found
    before, after = bits(clean), bits(dirty)
    if part == "value":
        if before["loss"] != after["loss"]:
            return Mismatch("value", "loss", _number(dirty.value), _number(clean.value))
        return None
    for name, gradient in dirty.gradients.items():
        mask = next((mask for mask in _masks(case) if name in losses()[case.loss].aligned_to(mask)), None)
        masked = np.zeros((), bool) if mask is None else ~case.inputs[mask]
        if mask and gradient.shape == case.inputs[name].shape and np.any(gradient[masked] != 0):
            return Mismatch(
                "gradient",
                f"gradient of {name} in a masked row",
                float(gradient[masked].ravel()[0]),
                0.0,
                0.0,
                np.inf,
            )
        if before[f"gradient of {name}"] != after[f"gradient of {name}"]:
            return Mismatch("gradient", f"gradient of {name}", "other bits", "the same bits")
    return None


def _number(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value.tolist()
