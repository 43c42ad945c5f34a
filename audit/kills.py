"""The suite judged: each mutant must be killed, and by a clause that speaks of its bug."""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from audit.mutants import Mutant, table
from audit.pages import HOME
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.frameworks import Adapter
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.host.words import meant
from lossproof.conformance.host.worker import adapter_for
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import Finding, Result
from lossproof.conformance.plan.plan import losses_known, plan, plan_of_function
from lossproof.conformance.plan.probe import Probe
from lossproof.spec import clauses, functions, losses

SEEDS = (0, 1, 2)
PART = HOME / "kills.part.jsonl"  # what a run has judged so far
RATE = Path(__file__).parents[1] / "conformance" / "report" / "kill_rate.json"  # what a certificate says of the judge
COMPILED = {"CV-20", "CV-22", "CV-35", "CV-36"}  # the clauses for which the slow check of modes is run


@dataclass(frozen=True)
class Kill:
    """What became of one mutant."""

    mutant: str
    clause: str | None  # that killed it; None: it survived
    check: str | None
    seconds: float


@cache
def adapter(framework: str = "torch") -> Adapter:
    """Return the adapter of a framework for this process."""
    return adapter_for(framework, "cpu")


def measured() -> dict[str, Any]:
    """Return what was measured last: a summary, and a row for each broken implementation."""
    found: dict[str, Any] = json.loads((HOME / "kills.json").read_text(encoding="utf-8"))
    return found


@cache
def mutants() -> dict[str, Mutant]:
    """Return every broken implementation, by id."""
    names = [
        *(page.name for page in losses().values()),
        "updates",
        "updates_torch",
        "arcface_logits",
        "active_fraction",
        "mining",
        "verification",
        "weights",
        "class_weights",
        "second_set",
        "devices",
        "modes_torch",
        "modes_tensorflow",
        "modes_jax",
    ]
    modules = [importlib.import_module(f"audit.mutants.{name}") for name in names]
    return table(*(mutant for module in modules for mutant in module.MUTANTS.values()))


def mutants_of(name: str) -> dict[str, Mutant]:
    """Return the broken implementations of a loss, or of another function, by id."""
    return {key: mutant for key, mutant in mutants().items() if mutant.loss == name}


def judged(mutant: Mutant, seed: int = 0, examples: int = 6, without: frozenset[str] = frozenset()) -> list[Finding]:
    """Return the findings of the probes of the mutant's clauses, up to the first that names one of its clauses.

    `without` leaves out checks, for instance "examples", to see what the others are worth.
    """
    found: list[Finding] = []
    asked = [probe for probe in probes(mutant) if probe.clause in mutant.clauses and probe.check not in without]
    for finding in findings(mutant, asked, seed, examples):
        found.append(finding)
        if finding.clause in mutant.clauses:
            break
    return found


def probes(mutant: Mutant) -> list[Probe]:
    """Return the plan of the loss, or function, that a mutant claims to be; of modes only where it breaks them."""
    if mutant.loss not in losses():
        return plan_of_function(mutant.loss)
    slow = COMPILED & set(mutant.clauses)
    return [p for p in plan(mutant.loss, losses_known()[mutant.loss]) if p.check != "compiled" or p.clause in slow]


def findings(mutant: Mutant, asked: list[Probe], seed: int, examples: int = 6) -> Iterator[Finding]:
    """Yield what the judge finds in a mutant, probe by probe."""
    for result in results(mutant, asked, seed, examples):
        yield from result.findings


def results(mutant: Mutant, asked: list[Probe], seed: int, examples: int = 6) -> Iterator[Result]:
    """Yield what comes of each probe that is asked of a mutant."""
    known = losses_known()
    implementation = Implementation(
        {mutant.loss: mutant.function}, name=mutant.id, ranks=mutant.ranks, target=mutant.target
    )
    session = InProcess(implementation, mutant.framework, adapter(mutant.framework))
    if not COMPILED & set(mutant.clauses):
        ranks = mutant.ranks.modes if mutant.ranks else []
        session.hello["modes"] = [session.hello["modes"][0], *ranks]  # to ask for the others costs a compilation
    judge = Judge.of(session, known, ours=mutant.ours, seed=seed, examples=examples)
    for probe in asked:
        yield judge.run(probe, CHECKS[probe.check])


def kill(mutant: Mutant, seed: int = 0, examples: int = 6, without: frozenset[str] = frozenset()) -> Kill:
    """Judge a mutant and say which clause and which check killed it, if any did."""
    start = time.perf_counter()
    found = judged(mutant, seed, examples, without)
    right = next((finding for finding in found if finding.clause in mutant.clauses), None)
    seconds = time.perf_counter() - start
    return Kill(mutant.id, right.clause if right else None, right.check if right else None, seconds)


def tried(key: str, named: Sequence[str] | None = None) -> dict[str, Any]:
    """Judge one mutant with each seed, and say which clauses the whole plan names with the first: its row.

    Where `named` has them from an earlier run, the whole plan is not asked again.
    """
    mutant = mutants()[key]
    kills = [kill(mutant, seed) for seed in SEEDS]  # first: what a mutant keeps between calls may wear off
    if named is None:
        found = {finding.clause for finding in findings(mutant, probes(mutant), SEEDS[0])}
    else:
        found = {*named, *(k.clause for k in kills if k.clause)}
    return {
        "mutant": mutant.id,
        "bug": mutant.bug,
        "clauses": list(mutant.clauses),
        "killed": all(k.clause for k in kills),
        "by": [f"{k.check}/{k.clause}" for k in kills],
        "named": [clause for clause in clauses() if clause in found],
        "seconds": [round(k.seconds, 3) for k in kills],  # for the summary alone
    }


def rows_of(
    broken: Sequence[str], console: Console, *, resume: bool, named: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Judge mutants in a process for each processor; each row is on disk as soon as it is known."""
    lines = PART.read_text(encoding="utf-8").splitlines() if resume and PART.is_file() else []
    rows: dict[str, dict[str, Any]] = {row["mutant"]: row for row in map(json.loads, lines)}
    os.environ["OMP_NUM_THREADS"] = "1"  # each processor has a job of its own
    jobs, context = os.cpu_count() or 1, multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as pool, PART.open("a" if resume else "w", encoding="utf-8") as part:
        coming = [pool.submit(tried, key, named.get(key)) for key in broken if key not in rows]
        for done in track(as_completed(coming), "mutants", len(coming), console=console, transient=True):
            row = done.result()
            rows[row["mutant"]] = row
            part.write(json.dumps(row) + "\n")
            part.flush()
    return {key: rows[key] for key in broken}


def _name(word: str) -> str:
    """Return a loss, a function or the id of a mutant; an error names the nearest."""
    known = [*losses(), *functions(), *mutants()]
    if word not in known:
        raise argparse.ArgumentTypeError(f"no loss, function or broken implementation {word!r}{meant(word, known)}")
    return word


def main() -> int:
    """Judge every mutant with three seeds; write kills.json; exit status 1 where one survives or is missing."""
    options = argparse.ArgumentParser(description="Judge every deliberately broken implementation.")
    options.add_argument("--only", action="append", type=_name, metavar="NAME", help="a loss or an id; other rows stay")
    options.add_argument("--resume", action="store_true", help="go on with a run of this code that was interrupted")
    meaning = "whether its own clauses catch each; what the rest of the plan said of it stays: a fifth of the time"
    options.add_argument("--by-clause", action="store_true", help=meaning)
    asked = options.parse_args()
    console, only = Console(), asked.only
    broken = [m.id for m in mutants().values() if not only or m.loss in only or m.id in only]
    earlier = {row["mutant"]: row["named"] for row in measured()["mutants"]}
    named = {key: earlier.get(key, []) for key in broken} if asked.by_clause else {}
    found = rows_of(broken, console, resume=asked.resume, named=named)
    seconds = [second for row in found.values() for second in row.pop("seconds")]
    for row in (row for row in found.values() if not row["killed"]):
        told = f"by seed {row['by']}, named {row['named']}"
        console.print(f"survived: {row['mutant']} ({row['bug']}), {told}", markup=False)
    summary = {"median_seconds": round(statistics.median(seconds), 2), "date": datetime.now(UTC).date().isoformat()}
    if only:
        summary = measured()["summary"]
        found = {row["mutant"]: row for row in measured()["mutants"]} | found
    rows = [found[key] for key in mutants() if key in found]
    killed = sum(bool(row["killed"]) for row in rows)
    summary |= {"mutants": len(rows), "killed": killed, "seeds": len(SEEDS)}
    (HOME / "kills.json").write_text(written(summary, rows), encoding="utf-8")
    RATE.write_text(json.dumps(summary) + "\n", encoding="utf-8")
    PART.unlink()
    console.print(
        f"{killed} of {len(rows)} broken implementations are caught by a clause they break, {len(SEEDS)} seeds"
    )
    return 0 if killed == len(mutants()) else 1


def written(summary: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of kills.json, a mutant a line: a change of one is a line of a patch."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    return f'{{"summary": {json.dumps(summary)}, "mutants": [\n{lines}\n]}}\n'
