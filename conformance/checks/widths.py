"""Tables and logits that are wider than the embeddings: computed in the wider dtype, refused, or wrong (CV-26)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from lossproof.conformance.host.arrays import FORMATS, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.judge.compare import unanswered
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.plan.cases.structures import Structure, generator
from lossproof.conformance.plan.probe import OfAgreement, Probe
from lossproof.spec.arguments import FLOAT_DTYPES, check_as_wide


def check(judge: Judge, probe: Probe, result: Result) -> None:
    """Ask calls whose tables are wider: the value, the gradients, or the dtypes that come back."""
    offer, taken = judge.offers[probe.loss], False
    pairs = [(narrow, wide) for narrow in offer.dtypes for wide in wider(offer, narrow)]
    if not pairs:
        raise Unsupported("no two of its dtypes are a narrower and a wider one")

    def examine(structure: Structure) -> Finding | None:
        nonlocal taken
        turn = int(structure["variant"]) % len(pairs)
        for narrow, wide in pairs[turn : turn + 2] if offer.costly else pairs:
            case = _case(judge, probe, structure | {"dtype": narrow}, wide)
            if case is None:
                continue
            result.planned += 1
            first = judge.ask(case)
            if first.refused and not judge.oracle.ours:
                continue
            taken = True
            found = unanswered(first) if first.refused else _wrong(judge, probe, structure, case, result)
            if found:
                return judge.finding(probe, replace(found, clause="CV-26") if first.refused else found, case)
        return None

    judge.structures(probe, result, examine)
    if not taken and result.planned:
        raise Unsupported("a table that is wider than the embeddings is refused")


def wider(offer: Offer, narrow: str) -> Iterator[str]:
    """Yield the dtypes that hold every number of a narrower one, and that the implementation reads."""
    for wide in (w for w in FLOAT_DTYPES if w in offer.dtypes and w != narrow):
        with suppress(TypeError):
            check_as_wide("table", wide, "rows", narrow)
            yield wide


def _case(judge: Judge, probe: Probe, structure: Structure, wide: str) -> Case | None:
    """Return a call whose tables have bits that the dtype of the embeddings does not hold."""
    every, turn = judge.offers[probe.loss].page.tables, int(structure["variant"])
    names = every if turn % 2 else every[turn // 2 % len(every) :][:1]  # all of them, or one
    for attempt in range(4):
        case = judge.case(probe, structure, attempt)
        if case is None:
            continue
        rng, inputs = (
            generator(judge.seed, probe.name, structure, wide, attempt),
            dict(case.inputs),
        )
        for name in names:
            step = 8 * FORMATS[case.dtype].roundoff * rng.standard_normal(inputs[name].shape)
            inputs[name] = rounded(inputs[name] * (1.0 + step), wide)
        wider = replace(case, inputs=inputs, dtypes=dict.fromkeys(names, wide))
        if not judge.oracle.undecided(judge.judged(wider, structure)):
            return wider
    return None


def _wrong(judge: Judge, probe: Probe, structure: Structure, case: Case, result: Result) -> Mismatch | None:
    options = probe.of(OfAgreement)
    if not options.dtypes:
        failure = judge.judge_case(case, structure, (options.part,), result)
        return failure[1] if failure else None
    answer = judge.ask(case)
    if answer.problem or answer.unsupported:
        return unanswered(answer)
    least = "float64" if case.widest == "float64" else "float32"
    if answer.value_dtype not in FORMATS or FORMATS[answer.value_dtype].roundoff > FORMATS[least].roundoff:
        wanted = f"{least} or wider, for {case.widest} tables"
        return Mismatch("dtype", "loss", answer.value_dtype, wanted)
    for name, dtype in answer.gradient_dtypes.items():
        if name in case.inputs and dtype != case.dtype_of(name):
            return Mismatch("dtype", f"gradient of {name}", dtype, case.dtype_of(name))
    return None
