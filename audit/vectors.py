"""Makes the frozen vectors of the spec: few cases that betray, twice, every bug which a single call can betray.

    python -m audit vectors                            add what is missing, compute every number anew
    python -m audit vectors LOSS                       the same of one loss
    python -m audit vectors CERTIFICATE FINDING        add the case of a finding, for instance TM-1
    python -m audit vectors --zip FILE                 put them all in one file, for projects that vendor them

A case comes from the suite itself: the smallest counterexample of a broken implementation. An id is never given twice,
and a vector is never taken out: numbers alone are computed again, from the reference.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from audit.kills import adapter, judged, mutants_of
from audit.vectors_zip import pack
from lossproof.conformance.checks.vectors import case_of
from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case, from_json, inputs_of, to_json
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.compare import against
from lossproof.conformance.judge.oracle import Oracle, output_slack
from lossproof.spec import Vector, losses, spec_version, vectors

FORMAT = 1  # grows where what a file says is said in another way; CHANGELOG.md beside the files says what changed
WITNESSES = 2  # vectors that betray each bug, where there are as many
LARGEST = 64  # numbers in an input
JUDGE = Oracle(ours=False)  # a vector is for everyone: the budget of those we did not write


def vector_of(case: Case, name: str, clauses: tuple[str, ...], betrays: tuple[str, ...], provenance: str) -> Vector:
    """Return the vector of a case, with every number from the reference."""
    expected = JUDGE.expected(case)

    def limit(budget: Array, want: Array) -> Any:
        return (np.broadcast_to(budget, want.shape) + output_slack(want, case.dtype)).astype(float).tolist()

    return Vector(
        name,
        case.loss,
        clauses,
        case.dtype,
        {n: a.tolist() for n, a in case.inputs.items()},
        {n: to_json(value) for n, value in case.parameters.items()},
        np.broadcast_to(np.asarray(case.cotangent, float), expected.value.shape).tolist(),
        expected.value.astype(float).tolist(),
        {n: g.astype(float).tolist() for n, g in expected.gradients.items()},
        {
            "value": limit(expected.value_budget("direct"), expected.value),
            "gradients": {n: limit(expected.gradient_budget("direct")[n], g) for n, g in expected.gradients.items()},
        },
        betrays,
        provenance,
    )


def plain(case: Case) -> Case | None:
    """Return a case as a vector can hold it, or None: float64 or float32, far from overflow, nothing undecided."""
    options = losses()[case.loss].parameters
    given = {n: v for n, v in case.parameters.items() if v != options.get(n, {}).get("default") and n != "pairwise"}
    if case.dtype not in ("float64", "float32") or case.dtypes or case.order > 1 or case.results:
        return None
    sizes = np.concatenate([np.abs(a).ravel() for a in case.inputs.values() if a.dtype.kind == "f"])
    ordinary = (sizes == 0) | (sizes < 2**30) & (sizes > 2**-30)
    if not all(0 < a.size <= LARGEST for a in case.inputs.values()) or not ordinary.all():
        return None
    if any(isinstance(v, float) and np.isnan(v) for v in given.values()):
        return None
    try:
        value = JUDGE.evaluate(replace(case, parameters=given)).value
        cotangent = case.cotangent
        if cotangent is None or cotangent.shape != value.shape:
            cotangent = np.ones(value.shape)
        found = Case(case.loss, case.inputs, case.dtype, given, order=1, cotangent=cotangent)
        expected = JUDGE.expected(found)
    except (ValueError, TypeError):
        return None
    finite = all(np.isfinite(a).all() for a in (expected.value, *expected.gradients.values()))
    return found if finite and not JUDGE.undecided(found) else None


def _betrayed(loss: str, cases: list[Case]) -> list[dict[str, str]]:
    """Return, for each case, the broken implementations that are wrong on it: id -> bug."""
    expected = [JUDGE.expected(case) for case in cases]
    found: list[dict[str, str]] = [{} for _ in cases]
    for mutant in (m for m in mutants_of(loss).values() if m.framework == "torch" and not m.ranks):
        session = InProcess(Implementation({loss: mutant.function}, name=mutant.id), "torch", adapter())
        for case, want, betrayed in zip(cases, expected, found, strict=True):
            mismatch, _ = against(case, session.ask(case), want, ("value", "gradient"))
            if mismatch and mismatch.kind in ("value", "gradient"):
                betrayed[mutant.id] = mutant.bug
    return found


def _candidates(loss: str) -> Iterator[tuple[Case, str, str]]:
    """Yield the smallest counterexample of each broken implementation, its clause, and where it comes from."""
    for mutant in (m for m in mutants_of(loss).values() if not m.ours and m.framework == "torch" and not m.ranks):
        for finding in judged(mutant)[-1:]:
            case = plain(finding.case)
            if case is not None:
                yield case, finding.clause, f"smallest counterexample of the broken implementation {mutant.id}"


def _content(case: Case) -> str:
    """Return what makes a case another than the next: neither who found it, nor what its terms are weighed with."""
    inputs = {name: a.tolist() for name, a in sorted(case.inputs.items())}
    return repr((case.dtype, inputs, sorted(case.parameters.items())))


def fresh_names(loss: str) -> Iterator[str]:
    """Yield the ids that no vector of a loss has had, in order."""
    prefix = next(iter(losses()[loss].clauses)).split("-")[0]
    numbers = [int(vector.id.split("-v")[1]) for vector in vectors(loss)]
    return (f"{prefix}-v{number}" for number in itertools.count(1 + max(numbers, default=0)))


def made(loss: str) -> list[Vector]:
    """Return the vectors of a loss: those there are, then the fewest that betray each bug twice."""
    kept = [(case_of(v), v.clauses, v.provenance, v.id) for v in vectors(loss)]
    known = {_content(case) for case, *_ in kept}
    fresh = [(c, (clause,), origin, "") for c, clause, origin in _candidates(loss) if _content(c) not in known]
    betrayed = _betrayed(loss, [case for case, *_ in kept + fresh])
    times = Counter(name for bugs in betrayed[: len(kept)] for name in bugs)
    chosen = list(zip(kept, betrayed, strict=False))
    left = list(zip(fresh, betrayed[len(kept) :], strict=True))
    while left:
        gains = [sum(times[name] < WITNESSES for name in bugs) for _, bugs in left]
        if not max(gains):
            break
        best = left.pop(int(np.argmax(gains)))
        chosen.append(best)
        left = [other for other in left if _content(other[0][0]) != _content(best[0][0])]
        times.update(best[1].keys())
    names = fresh_names(loss)
    return [
        vector_of(case, name or next(names), clauses, tuple(sorted(set(bugs.values()))), origin)
        for (case, clauses, origin, name), bugs in chosen
    ]


def write(loss: str, found: list[Vector], folder: Path) -> None:
    """Write the file of a loss, one vector a line."""
    lines = ",\n".join(json.dumps(asdict(v)) for v in found)
    page = losses()[loss]
    head = (
        f'{{"format": {FORMAT}, "spec": {json.dumps(spec_version())}, "page": {json.dumps(page.name)}, "vectors": [\n'
    )
    (folder / f"{page.name}.json").write_text(f"{head}{lines}\n]}}\n", encoding="utf-8")


def add(certificate: Path, name: str, folder: Path) -> Vector:
    """Add the case of a finding of a certificate; ValueError says why it cannot be a vector."""
    found_by = json.loads(certificate.read_text(encoding="utf-8"))
    entry = next((f for f in found_by["findings"] if f["finding"] == name), None)
    if entry is None:
        raise ValueError(
            f"{certificate}: no finding {name!r}; it has {', '.join(f['finding'] for f in found_by['findings'])}"
        )
    inputs = inputs_of(entry["loss"], entry["inputs"])
    case = plain(Case(entry["loss"], inputs, entry["dtype"], {n: from_json(v) for n, v in entry["parameters"].items()}))
    if case is None:
        raise ValueError(f"{name}: not a case of finite float64 or float32 numbers with nothing undecided")
    who = found_by["implementation"]
    origin = f"found in {who['name']} {who['version']}, {found_by['date'][:10]}"
    (found,) = keep(case.loss, [(case, entry["clause"], origin.strip())], folder)
    return found


def keep(loss: str, cases: Iterable[tuple[Case, str, str]], folder: Path) -> list[Vector]:
    """Add plain cases, each with its clause and provenance, to the file of a loss, under ids that no other has had."""
    names = fresh_names(loss)
    found = [vector_of(case, next(names), (clause,), (), provenance) for case, clause, provenance in cases]
    write(loss, [*vectors(loss), *found], folder)
    return found


def main() -> int:
    """Make every file anew, or one, or add one case to its file."""
    folder = Path("spec/vectors")
    if not folder.is_dir():
        print("run this in a checkout: it writes spec/vectors/", file=sys.stderr)
        return 2
    if "--zip" in sys.argv:
        return pack(folder, sys.argv[1:])
    if len(sys.argv) == 3:
        try:
            print(add(Path(sys.argv[1]), sys.argv[2], folder).id)
        except (ValueError, OSError) as problem:
            print(problem, file=sys.stderr)
            return 2
        return 0
    wanted = sys.argv[1:] or list(losses())
    if unknown := [loss for loss in wanted if loss not in losses()]:
        print(f"no loss {unknown[0]!r}", file=sys.stderr)
        return 2
    for loss in wanted:
        found = made(loss)
        write(loss, found, folder)
        print(f"{loss}: {len(found)} vectors betray {len({b for v in found for b in v.betrays})} bugs")
    return 0
