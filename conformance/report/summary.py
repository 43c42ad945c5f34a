"""What a certificate says in plain words: the same sentences on the terminal, on its page and in the index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lossproof.conformance.host.ranks import WORLDS
from lossproof.conformance.host.words import shown
from lossproof.conformance.judge.results import KNOWN, NOT_RUN, OTHER_CHOICE, UNSUPPORTED, VERDICTS
from lossproof.conformance.plan.many_devices import SPLITS
from lossproof.conformance.report import scope
from lossproof.conformance.report.formulas import plain
from lossproof.spec import clauses

Certificate = Mapping[str, Any]
LABELS = {"value": "value", "gradient": "gradient", "interface": "argument checks"}
HEADINGS = {
    "value": "Value",
    "gradient": "Gradient",
    "interface": "Argument checks: what is accepted and refused, dtypes",
}
RETURNED = {
    "share": "its share",
    "scaled": "its share times their number",
    "total": "the total",
    "own mean": "the mean of its own terms",
}
PASSED = ("conformant", OTHER_CHOICE)
WAITED_FOR = "what is found above is right"
WAITING = f"waits until {WAITED_FOR}"
_WIDEST = 300  # letters of one answer that are shown


def statement(certificate: Certificate) -> str:
    """Return the verdict with its scope and what it forgives: conformant for arcface_loss but for 2 known failures."""
    verdict: str = certificate["verdict"]
    count = sum(row[KNOWN] for row in certificate["counts"].values())
    if verdict == NOT_RUN:
        return verdict
    forgiven = f" but for {count} known failure{'s' if count > 1 else ''}" if count else ""
    return f"{verdict} {scope.words(certificate['scope'])}{forgiven}"


def sentence(certificate: Certificate) -> str:
    """Return the verdict of a run with what it rests on, by class of clause, mathematics first."""
    if certificate["verdict"] == NOT_RUN:
        failed = sum(row[NOT_RUN] for row in certificate["counts"].values())
        probes = f"{failed} probe{'s' if failed > 1 else ''}"
        ours = f"; the judge itself failed in {probes}, and junit.xml has the traceback" if failed else ""
        why = "everything asked for is unsupported" if certificate["complete"] else f"the plan was not completed{ours}"
        return f"{NOT_RUN}: {why}"
    new = unknown(certificate)
    parts = [f"{LABELS[kind]} {_class(certificate, kind, new)}" for kind in scope.CLASSES]
    first = f"; first {new[0]['finding']}, {plain(new[0]['title'])}" if new else ""
    stale = certificate["stale_known_failures"]
    ending = f"; stale {', '.join(stale)}" if stale else ""
    return f"{statement(certificate)}: {', '.join(parts)}{first}{ending}."


def _class(certificate: Certificate, kind: str, new: Sequence[Mapping[str, Any]]) -> str:
    found, row = sum(entry["class"] == kind for entry in new), certificate["counts"][kind]
    if found:
        return f"{found} finding{'s' if found > 1 else ''}" if kind == "value" else str(found)
    if not any(row[verdict] for verdict in VERDICTS if verdict not in (UNSUPPORTED, NOT_RUN)):
        return "not judged"
    return "none" if new else f"{passed(row)}"


def passed(row: Mapping[str, int]) -> str:
    """Return how many probes of a class passed, of those that were judged."""
    judged = sum(count for verdict, count in row.items() if verdict not in (UNSUPPORTED, NOT_RUN))
    return f"{sum(row.get(verdict, 0) for verdict in PASSED)} of {judged} probes passed"


def unknown(certificate: Certificate) -> list[Mapping[str, Any]]:
    """Return the findings that are not declared: mathematics first, and within a class in their order."""
    new = [entry for entry in certificate["findings"] if not entry.get("known")]
    return sorted(new, key=lambda entry: scope.CLASSES.index(entry["class"]))


def known(certificate: Certificate) -> list[Mapping[str, Any]]:
    """Return the findings that are declared."""
    return [entry for entry in certificate["findings"] if entry.get("known")]


def of_class(entries: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    """Return the findings of one class of clauses."""
    return [entry for entry in entries if entry["class"] == kind]


def advice(certificate: Certificate) -> str:
    """Return the advice of a run on one line: each clause once, with the number of losses that it is for."""
    losses: dict[str, set[str]] = {}
    titles = {entry["finding"]: plain(entry["title"]) for entry in certificate["advice"]}
    for entry in certificate["advice"]:
        losses.setdefault(entry["finding"], set()).add(entry["loss"])
    several = len(certificate["scope"]["losses"]) > 1
    parts = [f"{name}, {titles[name]}" + (f" ({_counted(of)})" if several else "") for name, of in losses.items()]
    return "; ".join(parts)


def _counted(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else f"{len(names)} losses"


def choices(certificate: Certificate) -> list[tuple[str, str, str]]:
    """Return the kinks at which another legal choice was made: loss, clause, and what was chosen in one sentence."""
    found: dict[tuple[str, str], str] = {}
    for probe in certificate["probes"]:
        if probe["verdict"] == OTHER_CHOICE:
            found.setdefault((probe["name"].split("/")[0], probe["clause"]), probe.get("choice", ""))
    return [(loss, clause, choice) for (loss, clause), choice in found.items()]


def declared(certificate: Certificate) -> str:
    """Return what the implementation says of its options, on which the verdict rests; the same of every loss once."""
    said: dict[str, list[str]] = {}
    for loss, options in certificate.get("declared", {}).items():
        values = {name: value if isinstance(value, list) else [value] for name, value in options.items()}
        text = ", ".join(f"{name} = {' or '.join(map(shown, claimed))}" for name, claimed in values.items())
        said.setdefault(text, []).append(loss)
    every = len(said) == 1 and set(certificate["scope"]["losses"]) <= set(*said.values())
    return "; ".join(text if every else f"{', '.join(losses)}: {text}" for text, losses in said.items())


def table(certificate: Certificate) -> dict[str, dict[str, int]]:
    """Return how many probes had each verdict, by class: those that wait for a right value apart from unsupported."""
    rows = {verdict: {kind: certificate["counts"][kind][verdict] for kind in scope.CLASSES} for verdict in VERDICTS}
    waiting = dict.fromkeys(scope.CLASSES, 0)
    for probe in certificate["probes"]:
        if probe["verdict"] == UNSUPPORTED and probe["obscured"] > 0:
            kind = clauses()[probe["clause"]].kind
            waiting[kind] += 1
            rows[UNSUPPORTED][kind] -= 1
    return rows | ({WAITING: waiting} if any(waiting.values()) else {})


def processes(certificate: Certificate) -> str:
    """Return what was found of batches that are spread over processes, and how they were spread; or nothing."""
    ranks = certificate.get("ranks")
    probes = [probe for probe in certificate["probes"] if probe["clause"].startswith("DD-")]
    judged = [probe for probe in probes if probe["verdict"] not in (UNSUPPORTED, NOT_RUN)]
    if not ranks or not judged:
        return ""
    right = sum(probe["verdict"] in PASSED for probe in judged)
    splits = SPLITS[:1] if ranks.get("even") else SPLITS
    returned = RETURNED[ranks.get("returns", "share")]
    combined = {"sum": "added up", "mean": "averaged"}[ranks.get("combine", "sum")]
    worlds = " and ".join(map(str, ranks.get("worlds", WORLDS)))
    passed = f"{right} of {len(judged)} probes passed with {worlds} processes (rows {', '.join(splits)})"
    return f"{passed}; each returns {returned}, and gradients are {combined}"


def facts(certificate: Certificate) -> str:
    """Return on what, how much and how exactly: one line of small print."""
    who, rows = certificate["implementation"], table(certificate)
    unsupported, waiting = sum(rows[UNSUPPORTED].values()), sum(rows.get(WAITING, {}).values())
    shares = [f"{max(row.values()):.2f} ({part})" for part, row in certificate["worst"].items() if part != "second"]
    parts = [
        f"{who['framework']} {who['framework_version']} on {who['device']}".strip(),
        f"{certificate['cases']} cases in {certificate['seconds']:.0f} s",
        *([f"{unsupported} probes unsupported"] if unsupported else []),
        *([f"{waiting} wait until {WAITED_FOR}"] if waiting else []),
        f"distances {certificate['grade']}",
        *([f"worst error that passed {', '.join(shares)} of its budget"] if shares else []),
    ]
    return "; ".join(parts)


def comparison(entry: Mapping[str, Any]) -> str:
    """Return what came, what should have come, and how near it had to be."""
    words = entry["where"] == "the call" and isinstance(entry["got"], str) and entry["verdict"] == "errored"
    text = f"{entry['where']}: {'' if words else 'got '}{cut(entry['got'])}, want {cut(entry['want'])}"
    return text + (f" ({entry['tolerance']})" if entry.get("tolerance") else "")


def call(entry: Mapping[str, Any]) -> str:
    """Return how it was called: dtype, mode, options, and the shape of rows that are no plain batch."""
    options = [f"{name}={_value(value)}" for name, value in entry["parameters"].items()]
    split = [f"rows split {_value(entry['split'])}"] if entry.get("split") else []
    return ", ".join([entry["dtype"], entry["mode"], *_axes(entry), *split, *options])


def _axes(entry: Mapping[str, Any]) -> list[str]:
    """Return the shape of the rows where they are not a plain batch, but one row or several axes of rows."""
    for name, given in list(entry.get("inputs", {}).items())[:1]:
        rows = np.asarray(given, dtype=object)
        if rows.ndim != 2 and rows.size and not isinstance(rows.flat[0], int):  # labels are integers, masks booleans
            return [f"{name} of shape {rows.shape}"]
    return []


def stopped(entry: Mapping[str, Any]) -> str:
    """Return what else has the same cause: other findings, and how many probes a crash or an error stopped."""
    also, probes = entry.get("also", []), entry.get("probes", 1)
    parts = [f"{probes} probes {'stopped' if entry['verdict'] == 'errored' else 'found it'}"] if probes > 1 else []
    shown = ", ".join(also[:8]) + (f" and {len(also) - 8} more" if len(also) > 8 else "")
    parts += [f"also under {shown}"] if also else []
    return "; ".join(parts)


def assumed(entry: Mapping[str, Any]) -> str:
    """Return the options that were assumed on the user's behalf, and the line that declares them."""
    if not entry.get("assumed"):
        return ""
    declare = entry.get("declare")
    words = declare if isinstance(declare, str) or not declare else ", ".join(map(str, declare))
    return f"assumed: {_value(entry['assumed'])}" + (f"; {words}" if words else "")


def inputs(entry: Mapping[str, Any]) -> list[str]:
    """Return the inputs as a person reads them, one a line."""
    return [f"{name} = {cut(value)}" for name, value in entry["inputs"].items()]


def readable(entry: Mapping[str, Any]) -> bool:
    """Whether the line that reproduces a finding holds the inputs as a person reads them; the protocol encodes them."""
    return not str(entry["reproduce"]).startswith("printf ")


def cut(value: Any) -> str:
    """Return a value as text, with its middle left out where it is long."""
    text = str(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST // 2]} … {text[-_WIDEST // 2 :]}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_value(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return value if isinstance(value, str) else repr(value)
