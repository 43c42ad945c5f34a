"""What a verdict speaks of: losses, checks, classes of clauses. It never says more than was asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossproof.conformance.host.words import meant
from lossproof.conformance.judge.results import ERRORED, NOT_RUN, UNSUPPORTED, Result
from lossproof.conformance.plan.probe import Probe
from lossproof.spec import clauses, functions, losses

CLASSES = ("value", "gradient", "interface")  # mathematics first
MOST = 3  # losses that a verdict names; of more it says how many
PARTIAL = "partial: "  # before the judgement of a run that was not asked everything
LONGEST = 100  # letters of a folder's name; a file system takes 255 bytes


class GateError(ValueError):
    """A gate that cannot be used; the message is one line."""


def make(
    asked_losses: Sequence[str], asked_checks: Sequence[str], every_check: Iterable[str], results: Iterable[Result]
) -> dict[str, Any]:
    """Return the scope of a run, as a certificate has it.

    A run is partial where checks were left out on request. A target that is one loss, or a run that names its losses,
    is not: its scope is those losses, and its verdict names them.
    """
    results = list(results)
    judged = [result for result in results if result.verdict not in (UNSUPPORTED, NOT_RUN)]
    names, kinds = {result.probe.loss for result in results}, {_kind(result.probe) for result in judged}
    every = list(every_check)
    partial = bool(asked_checks) and bool(set(every) - set(asked_checks))
    return {
        "losses": [name for name in (*losses(), *functions()) if name in names],
        "spec": [*losses(), *functions()],
        "asked": [name for name in (*losses(), *functions()) if name in asked_losses] or "all",
        "checks": [name for name in every if name in asked_checks] if partial else "all",
        "classes": [kind for kind in CLASSES if kind in kinds],
        "partial": partial,
    }


def named(judgement: str, scope: Mapping[str, Any]) -> str:
    """Return the verdict of a certificate: the judgement, with the word partial before it where the run was."""
    return PARTIAL + judgement if scope["partial"] and judgement != NOT_RUN else judgement


def judgement(certificate: Mapping[str, Any]) -> str:
    """Return the verdict of a certificate without the word partial."""
    return str(certificate["verdict"]).removeprefix(PARTIAL)


def words(scope: Mapping[str, Any]) -> str:
    """Return what a verdict speaks of in words: for triplet_margin_loss, checks gradient and invariances alone."""
    return f"for {_losses(scope)}" + (f", {_checks(scope)}" if scope["partial"] else "")


def _losses(scope: Mapping[str, Any]) -> str:
    found = scope["losses"]
    if len(found) <= MOST:
        return listed(found) or "nothing"
    kinds = {"losses": set(losses()), "functions": set(scope["spec"]) - set(losses())}
    counted = {kind: (len(names & set(found)), len(names)) for kind, names in kinds.items()}
    return listed([_counted(kind, n, of) for kind, (n, of) in counted.items() if n])


def _counted(kind: str, n: int, of: int) -> str:
    one = {"losses": "loss", "functions": "function"}[kind]
    return f"all {of} {kind}" if n == of else f"{n} {one if n == 1 else kind} (the spec has {of})"


def _checks(scope: Mapping[str, Any]) -> str:
    return f"check{'s' if len(scope['checks']) > 1 else ''} {listed(scope['checks'])} alone"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def slug(target: str, asked_losses: Sequence[str], checks: Sequence[str], every: Sequence[str], device: str) -> str:
    """Return a folder's name for a target and a scope: another scope has another name, the same scope the same."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", target).strip("-")
    scope = [loss for loss in (*losses(), *functions()) if loss in asked_losses]
    if checks and set(every) - set(checks):
        scope.append("check-" + "-".join(check for check in every if check in checks))
    scope += [] if device == "cpu" else [device]
    if len("--".join([name, *scope])) <= LONGEST:
        return "--".join([name, *scope])
    digest = hashlib.sha256("--".join([target, *scope]).encode()).hexdigest()[:12]
    ending = "--".join([digest, *scope])[: LONGEST // 2]
    return f"{name[: LONGEST - len(ending) - 1]}-{ending}"


def gate(text: str) -> tuple[str, ...]:
    """Return the classes that a gate names; GateError says which there are."""
    asked = [part.strip() for part in text.split(",") if part.strip()]
    for name in asked:
        if name not in CLASSES:
            raise GateError(f"--gate: no class {name!r}; there are {', '.join(CLASSES)}{meant(name, CLASSES)}")
    if not asked:
        raise GateError(f"--gate: name at least one class of {', '.join(CLASSES)}")
    return tuple(kind for kind in CLASSES if kind in asked)


def status(certificate: Mapping[str, Any], gated: Sequence[str] = CLASSES) -> int:
    """Return the exit status of a certificate: 0 where nothing fails in the classes that the gate names.

    1: something there is nonconformant, errored, or declared and stale. What raised or crashed counts in the class of
    the probe that it stopped too, so that a gate for values does not pass what could not be asked for one. 2: nothing
    was judged there, or the plan was not completed.
    """
    if judgement(certificate) == NOT_RUN:
        return 2
    failed = {entry["class"] for entry in certificate["findings"] if not entry["known"]}
    failed |= {clauses()[name.split("/")[0]].kind for name in certificate["stale_known_failures"]}
    failed |= {clauses()[probe["clause"]].kind for probe in certificate["probes"] if probe["verdict"] == ERRORED}
    if failed & set(gated):
        return 1
    return 0 if set(certificate["scope"]["classes"]) & set(gated) else 2


def _kind(probe: Probe) -> str:
    return clauses()[probe.clause].kind
