"""Agreement with the oracle, and the smallest case of a failure: neutral fields, round numbers, the clause it names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.ranks import world_of
from lossproof.conformance.judge.compare import PARTS, is_coarse
from lossproof.conformance.judge.judge import MAX_CRASHES, Crashed, Judge, Unsupported
from lossproof.conformance.judge.results import Finding, Mismatch, Result
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.conformance.plan.contract import LossCases
from lossproof.conformance.plan.plan import FILLS
from lossproof.conformance.plan.probe import OfAgreement, Probe
from lossproof.spec import clauses

EXPERIMENTS = 12  # calls that tell one cause from another
OF_NOTHING = {"value": "CV-5", "gradient": "CV-6"}  # of a mean over a batch of no rows
LEAST = 3  # wrong calls that have to be right without a subject, for it to be the cause


def agree(judge: Judge, probe: Probe, result: Result, parts: tuple[str, ...], fills: int | None = None) -> None:
    """Compare structures of a probe with the oracle; the first failure becomes a finding."""
    large = probe.of(OfAgreement).large
    if large and judge.oracle.exact_only:
        raise Unsupported("too large for the second oracle")

    def examine(structure: Structure) -> Finding | None:
        for fill in range(1 if large else fills or judge.fills):
            result.planned += 1
            failure = judge.failure(probe, structure, fill, parts, result)
            if failure and failure[0].split and failure[1].errored:
                return judge.finding(probe, failure[1], failure[0])  # to try again is to wait again
            if failure:
                try:
                    return smallest(judge, probe, structure, fill, parts, failure)
                except Crashed:
                    result.reason = f"ended after {MAX_CRASHES} crashes"
                    return judge.finding(probe, failure[1], failure[0])
        return None

    judge.structures(probe, result, examine)


def smallest(
    judge: Judge,
    probe: Probe,
    structure: Structure,
    fill: int,
    parts: tuple[str, ...],
    failure: tuple[Case, Mismatch],
) -> Finding:
    """Return the finding of a failure at its smallest case; the fields that it needs name the clause."""
    structure, needed, (case, mismatch) = shrunk(judge, probe, structure, fill, parts, failure)
    return Finding(probe.loss, _blame(judge, probe, needed, structure, case, mismatch), "", probe.check, mismatch, case)


def shrunk(
    judge: Judge,
    probe: Probe,
    structure: Structure,
    fill: int,
    parts: tuple[str, ...],
    failure: tuple[Case, Mismatch],
) -> tuple[Structure, dict[str, Any], tuple[Case, Mismatch]]:
    """Return a failure at its smallest: fields made neutral one by one while it still fails, then round numbers.

    Beside it stand its structure and the fields that cannot be made neutral without the failure going away.
    """
    offer, loss = judge.offers[probe.loss], judge.losses[probe.loss]
    kind, least = failure[1].kind, failure[1].excess / 1024

    def fails(candidate: Structure) -> tuple[int, tuple[Case, Mismatch]] | None:
        for number in (fill, *range(3 * FILLS)):
            found = judge.failure(probe, candidate, number, parts)
            # a failure that all but vanishes has lost its cause, and what is left is another's rounding
            if found and found[1].kind == kind and not found[1].excess < least:
                return number, found
        return None

    needed: dict[str, Any] = {}
    for name, values in loss.space.items():
        neutral = offer.choices(name, values or offer.modes[:1])[:1] if name != "order" else [structure[name]]
        smaller = _smaller_shapes(loss, structure["shape"]) if name == "shape" else neutral
        if name != "shape" and (not neutral or structure[name] == neutral[0]):
            continue
        for value in smaller:
            candidate = loss.normal(structure | {name: value}, offer)
            if candidate == structure:
                break  # it does not apply here
            found = fails(candidate)
            if found:
                structure, (fill, failure) = candidate, found
                break
        else:
            if name != "shape":
                needed[name] = structure[name]
    needed = {name: value for name, value in needed.items() if structure[name] == value}
    return structure, needed, _round_numbers(judge, structure, parts, failure)


def _smaller_shapes(loss: LossCases, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes with no more rows, and no more numbers, than one has."""
    rows, numbers = np.prod(shape[:-1]), np.prod(shape)
    return [s for s in loss.smaller_shapes if s != shape and np.prod(s[:-1]) <= rows and np.prod(s) <= numbers]


def _blame(
    judge: Judge, probe: Probe, needed: dict[str, Any], structure: Structure, case: Case, mismatch: Mismatch
) -> str:
    loss = judge.losses[probe.loss]
    if mismatch.of_shape:
        return judge.shape_clause(case)
    if probe.over_processes and mismatch.kind == "gradient" and _of_a_table(loss, mismatch):
        return "DD-5"
    own = probe.options.own_clause and not set(needed) - set(probe.vary)
    if needed.get("mode") == "eager":  # the plain call itself is wrong, and no transformation of it
        needed = {name: value for name, value in needed.items() if name != "mode"}
    if probe.over_processes and world_of(str(needed.get("mode", ""))) > 1:
        return probe.clause  # on one device it is right
    of_numbers = mismatch.kind in PARTS
    if mismatch.kind in OF_NOTHING and "mode" not in needed and _is_mean_of_nothing(judge, structure, case):
        return OF_NOTHING[mismatch.kind]
    # says nothing where plain calls fail; of numbers, neither does a clause of what is accepted
    beside_plain = probe.clause.startswith("CV-") or probe.over_processes or bool(probe.options.structure)
    beside_plain = beside_plain or (of_numbers and clauses()[probe.clause].kind == "interface")
    parts = (mismatch.kind,) if of_numbers else PARTS[:1]
    if own and (not beside_plain or judge.control(probe.loss, {}, parts)):
        general = probe.clause in loss.formula.values() and not needed and of_numbers
        return (general and _cause(judge, probe, structure, mismatch)) or probe.clause
    if mismatch.kind == "raised" and "mode" not in needed:
        return loss.refusal(case)
    clause = loss.blame(mismatch.kind, needed)
    if clause:
        return clause
    if mismatch.errored:
        return "CV-23"
    if is_coarse(mismatch, case):
        added = loss.blame(mismatch.kind, {"eps": None}) if "eps" in loss.space and case.dtype == "float64" else None
        larger = loss.normal(structure | {"scale": 40}, judge.offers[probe.loss])
        if added and not any(judge.failure(probe, larger, fill, parts) for fill in range(FILLS)):
            return added  # rounding would grow with the rows; this does not
        return "CV-15" if mismatch.kind == "value" else "CV-16"
    coupled = loss.row_clause if np.prod(structure["shape"][:-1]) > 1 else None
    return _cause(judge, probe, structure, mismatch) or coupled or loss.formula[mismatch.kind]


def _is_mean_of_nothing(judge: Judge, structure: Structure, case: Case) -> bool:
    reduction = case.parameters.get("reduction", judge.offers[case.loss].neutral("reduction"))
    return not np.prod(structure["shape"][:-1]) and str(reduction).startswith("mean")


def _of_a_table(loss: LossCases, mismatch: Mismatch) -> bool:
    """Whether a gradient is that of an array that every process holds whole."""
    return any(mismatch.where.startswith(f"gradient of {n}") for n in loss.page.tables if n not in loss.page.aligned)


def _cause(judge: Judge, probe: Probe, structure: Structure, mismatch: Mismatch) -> str | None:
    """Return the clause that the experiments of the loss single out where plain calls are wrong."""
    loss, offer = judge.losses[probe.loss], judge.offers[probe.loss]
    for name, clause in loss.gradient_of.items():
        if mismatch.where.startswith(f"gradient of {name}"):
            return clause
    causes = [cause for cause in loss.causes if cause.kind == mismatch.kind]
    causes = [cause for cause in causes if all(offer.choices(n, [v]) for n, v in cause.fields.items())]
    if not causes:
        return None
    plain = loss.normal(structure | {"shape": loss.space["shape"][0]}, offer)  # few rows do not tell causes apart
    wrong = _wrong(judge, plain, _drawn(judge, probe.loss, plain), mismatch.kind)
    if len(wrong) < LEAST:
        wrong = _wrong(judge, structure, _drawn(judge, probe.loss, structure), mismatch.kind)
    for cause in causes:
        changed = loss.normal({**plain, **cause.fields}, offer)
        if cause.alone:
            named = bool(_wrong(judge, changed, _drawn(judge, probe.loss, changed), mismatch.kind))
        else:
            options = loss.parameters(changed, offer)
            cases = _decided(judge, changed, [cause.change(replace(case, parameters=options)) for case in wrong])
            named = len(cases) >= LEAST and not _wrong(judge, changed, cases, mismatch.kind)
        if named:
            return cause.clause
    return None


def _drawn(judge: Judge, loss: str, structure: Structure) -> list[Case]:
    build, offer = judge.losses[loss].build, judge.offers[loss]
    return _decided(judge, structure, [build(structure, offer, judge.seed, fill) for fill in range(EXPERIMENTS)])


def _decided(judge: Judge, structure: Structure, cases: list[Case]) -> list[Case]:
    return [case for case in cases if not judge.undecided(case, structure)]


def _wrong(judge: Judge, structure: Structure, cases: list[Case], kind: str) -> list[Case]:
    return [case for case in cases if judge.judge_case(case, structure, (kind,))]


def _round_numbers(
    judge: Judge, structure: Structure, parts: tuple[str, ...], failure: tuple[Case, Mismatch]
) -> tuple[Case, Mismatch]:
    """Make the numbers zero, round and few, while the failure stays and no decision becomes undecided."""
    best = failure
    for change in (np.rint, lambda x: np.rint(x * 4) / 4, lambda x: np.rint(x * 64) / 64):
        attempt = _still(
            judge,
            structure,
            parts,
            best,
            {n: change(a) + 0.0 for n, a in best[0].inputs.items() if a.dtype.kind == "f"},
        )
        if attempt:
            best = attempt
            break
    for name in [n for n, a in best[0].inputs.items() if a.dtype.kind == "f" and a.size <= 6]:
        for place in np.ndindex(best[0].inputs[name].shape):
            if best[0].inputs[name][place] != 0:
                zeroed = best[0].inputs[name].copy()
                zeroed[place] = 0.0
                best = _still(judge, structure, parts, best, {name: zeroed}) or best
    return best


def _still(
    judge: Judge,
    structure: Structure,
    parts: tuple[str, ...],
    best: tuple[Case, Mismatch],
    changed: dict[str, Any],
) -> tuple[Case, Mismatch] | None:
    case = replace(best[0], inputs={**best[0].inputs, **changed})
    if judge.undecided(case, structure):
        return None
    found = judge.judge_case(case, structure, parts)
    return found if found and found[1].kind == best[1].kind else None
