"""The certificate: what was judged, with what, how it went. JSON with a published schema."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np

from lossproof.conformance.host.case import from_json
from lossproof.conformance.host.hello import GRADES
from lossproof.conformance.host.reproduce import line
from lossproof.conformance.judge.results import VERDICTS, Finding, Mismatch, Result
from lossproof.conformance.report import scope
from lossproof.conformance.report.assumptions import assumption
from lossproof.conformance.report.entries import Entry, entries
from lossproof.conformance.report.ranking import class_of
from lossproof.conformance.schemas import schema
from lossproof.spec import clauses, spec_version

FORMAT = 1
RANKS = ("returns", "combine", "even", "worlds")  # what is said of batches over processes
_UNDERFLOW = 2.0**-100  # a smaller budget forgives numbers that are nearly 0, and nothing else


def make(
    hello: Mapping[str, Any], run: Mapping[str, Any], results: list[Result], stale: list[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the certificate of a run, checked against its schema."""
    certificate = {
        "format": FORMAT,
        "spec": spec_version(),
        "package": _version("lossproof"),
        "hypothesis": _version("hypothesis"),
        "python": platform.python_version(),
        "machine": {
            "processor": platform.machine(),
            "system": platform.system(),
            "threads": os.cpu_count() or 1,
        },
        "implementation": {
            key: hello.get(key, "") for key in ("name", "version", "framework", "framework_version", "device")
        }
        | ({"version": _version("lossproof")} if run["ours"] else {}),
        "dtypes": _dtypes(hello),
        "declared": _declared(hello),
        **({"ranks": {key: hello["ranks"][key] for key in RANKS if key in hello["ranks"]}} if "ranks" in hello else {}),
        "kills": kill_rate(),
        **run,
        "verdict": scope.named(overall(results, stale, run["complete"]), run["scope"]),
        "grade": max((r.grade for r in results), key=GRADES.index, default="direct"),
        "counts": counts(results),
        "worst": worst(results),
        "fitted": fitted(results),
        "advice": _entries(entries(results, "advice"), hello, run),
        "findings": _entries(entries(results), hello, run),
        "probes": [probe_entry(result) for result in results],
        "stale_known_failures": [entry["finding"] for entry in stale],
    }
    jsonschema.validate(certificate, schema("certificate"))
    return certificate


def _said(hello: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {**hello.get("losses", {}), **hello.get("functions", {})}


def _dtypes(hello: Mapping[str, Any]) -> list[str]:
    """Return the dtypes that are claimed for one function at least."""
    every = list(hello.get("dtypes", []))
    claimed = [entry.get("limits", {}).get("dtype", every) for entry in _said(hello).values()]
    return [dtype for dtype in every if not claimed or any(dtype in own for own in claimed)]


def _declared(hello: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what an implementation says of its options: loss -> option -> its one value, or the values it claims."""
    found = {}
    for name, entry in _said(hello).items():
        fixed = {option: from_json(value) for option, value in entry.get("fixed", {}).items()}
        limits = {option: [from_json(v) for v in values] for option, values in entry.get("limits", {}).items()}
        found[name] = {option: _plain(value) for option, value in {**limits, **fixed}.items()}
    return {name: options for name, options in found.items() if options}


def kill_rate() -> dict[str, Any]:
    """Return how many of the suite's own broken implementations it catches, as last measured."""
    found: dict[str, Any] = json.loads((files(__package__) / "kill_rate.json").read_text(encoding="utf-8"))
    return found


def overall(results: list[Result], stale: list[Mapping[str, Any]], complete: bool) -> str:
    """Return the judgement of everything that was asked; another legal choice and what is declared are no fault."""
    seen = Counter(result.verdict for result in results)
    if not complete or not (set(seen) - {"unsupported", "not run"}):
        return "not run"
    if seen["nonconformant"] or stale:
        return "nonconformant"
    return "errored" if seen["errored"] else "conformant"


def counts(results: list[Result]) -> dict[str, dict[str, int]]:
    """Return how many probes had each verdict, for each class of clause."""
    table = {kind: dict.fromkeys(VERDICTS, 0) for kind in scope.CLASSES}
    for result in results:
        table[clauses()[result.probe.clause].kind][result.verdict] += 1
    return table


def worst(results: list[Result]) -> dict[str, dict[str, float]]:
    """Return the worst error as a share of its budget: part -> dtype -> share."""
    found: dict[str, dict[str, float]] = {}
    for result in results:
        for part, shares in result.worst.items():
            for dtype, share in shares.items():
                entry = found.setdefault(part, {})
                entry[dtype] = round(max(entry.get(dtype, 0.0), share), 4)
    return found


def fitted(results: list[Result]) -> list[str]:
    """Return the losses that are right on every published vector and wrong on copies of them."""
    wrong: dict[str, dict[str, bool]] = {}
    for result in results:
        if result.probe.check == "vectors" and result.planned:
            of_loss = wrong.setdefault(result.probe.loss, {"": False, "copies": False})
            of_loss[result.probe.label] |= bool(result.findings) or result.obscured > 0
    return [loss for loss, found in wrong.items() if found["copies"] and not found[""]]


def probe_entry(result: Result) -> dict[str, Any]:
    """Return one probe for the certificate; also a line of the log that is written while the run goes on."""
    return {
        "name": result.probe.name,
        "check": result.probe.check,
        "clause": result.probe.clause,
        "verdict": result.verdict,
        "planned": result.planned,
        "run": result.run,
        "obscured": result.obscured,
        "seconds": round(result.seconds, 3),
        "reason": result.reason,
        **({"choice": result.choice} if result.choice else {}),
        "worst": worst([result]),
        "findings": [finding.id for finding in result.findings],
    }


def _entries(found: list[Entry], hello: Mapping[str, Any], run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one entry a cause, with the ids of the other findings that it explains."""
    every = [finding for entry in found for finding in (entry.finding, *entry.also)]
    return [
        finding_entry(entry.finding, hello, run, [f for f in every if f.loss == entry.finding.loss])
        | {"known": entry.known, "also": [finding.id for finding in entry.also], "probes": entry.probes}
        for entry in found
    ]


def finding_entry(
    finding: Finding, hello: Mapping[str, Any], run: Mapping[str, Any], others: Sequence[Finding] = ()
) -> dict[str, Any]:
    """Return one finding: clause and its text, the smallest case, got, want, budget, and the line that shows it."""
    clause, case, mismatch = clauses()[finding.clause], finding.case, finding.mismatch
    return {
        "loss": finding.loss,
        "finding": finding.id,
        "clause": clause.id,
        "class": class_of(finding),
        "title": clause.title,
        "text": clause.text.split("```")[0].strip(),
        "check": finding.check,
        "verdict": finding.verdict,
        "where": mismatch.where,
        "got": _plain(mismatch.got),
        "want": _plain(mismatch.want),
        "budget": _plain(mismatch.budget),
        "tolerance": tolerance(mismatch),
        "mode": case.mode,
        **({"split": list(case.split)} if case.split else {}),
        "dtype": case.dtype,
        "inputs": {name: _plain(array.tolist()) for name, array in case.inputs.items()},
        "parameters": {name: _plain(value) for name, value in case.parameters.items()},
        "reproduce": line(run["target"], hello, case),
        **({"traceback": mismatch.traceback} if mismatch.traceback else {}),
        **({} if run.get("ours") else assumption(finding, hello, others)),
    }


def tolerance(mismatch: Mismatch) -> str:
    """Return how near an answer had to come, in words: nothing where no number, or not a number, was wanted."""
    numbers = [x for x in (mismatch.got, mismatch.want) if not isinstance(x, str | tuple)]
    if mismatch.errored or any(isinstance(x, float | np.floating) and not np.isfinite(x) for x in numbers):
        return ""  # no tolerance would do
    if mismatch.budget > _UNDERFLOW and np.isfinite(mismatch.budget):
        return f"within {mismatch.budget:.3g}"
    if len(numbers) < 2:
        return ""
    return "bit for bit" if mismatch.budget == 0 else f"bit for bit, or within {mismatch.budget:.3g}"


def _plain(value: Any) -> Any:
    """Return a value for JSON: numbers that JSON has as numbers, the rest as text."""
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else str(float(value))
    return str(value)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
