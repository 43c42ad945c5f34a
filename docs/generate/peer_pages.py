"""The pages of other people's implementations: one of all, one a loss with its clauses, one an implementation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from docs.generate import one_name
from docs.generate.figure import link, shows
from docs.generate.links import clause_link, linked
from docs.generate.peers import Finding, Peer, by_clause, judged, of_loss, peers
from docs.generate.places import SPEC
from docs.generate.templates import rendered
from docs.generate.under import differing
from lossproof.spec import clauses, dialects, losses, page_names
from lossproof.spec import page as spec_page

CLASSES = {"value": "value", "gradient": "gradient", "interface": "argument checks"}


def counts(peer: Peer) -> list[dict[str, Any]]:
    """Return the probes of each class of clauses: how many passed, failed as declared, failed otherwise."""
    classes = peer.row["classes"] if peer.row else {}
    return [{"name": name, **classes[key]} for key, name in CLASSES.items() if key in classes]


def sentence(peer: Peer) -> str:
    """Return what was found, in a sentence."""
    if peer.row is None:
        return "Its known failures are declared; no measurement of it is kept here."
    beyond = sum(kind["failed"] for kind in counts(peer))
    scope = " on the part of the checks that it was asked" if not peer.row.get("complete", True) else ""
    if not peer.row["findings"]:
        return f"Conformant{scope}: nothing was found."
    said = f"{peer.row['findings']} finding{'s' * (peer.row['findings'] != 1)}{scope}"
    if beyond and not peer.findings:
        return f"{said}; {beyond} probes failed, and no reason is declared yet."
    entries = len(peer.findings)
    return f"{said}, one a cause; {entries} entr{'y declares' if entries == 1 else 'ies declare'} them below."


def found(peer: Peer) -> str:
    """Return how many findings there are, and whether part of the checks was left out."""
    if peer.row is None:
        return str(len(peer.findings))
    return f"{peer.row['findings']}" + (", of part of the checks" if not peer.row.get("complete", True) else "")


def declared(peer: Peer) -> list[str]:
    """Return what the implementation was said to offer, as Markdown."""
    lines = []
    for loss, options in (peer.row["declared"] if peer.row else {}).items():
        words = {n: " or ".join(f"`{w}`" for w in (v if isinstance(v, list) else [v])) for n, v in options.items()}
        lines += [f"`{loss}` with " + "; ".join(f"`{n}` = {v}" for n, v in words.items())] if words else []
    return lines


def numbers(finding: Finding) -> str:
    """Return what came back in the smallest case, what the page says, and how near it had to come; or nothing."""
    case = finding.case or {}
    if "got" not in case or "want" not in case:
        return ""
    budget = case.get("budget")
    near = f", to within `{budget:.2g}`" if isinstance(budget, float) and 0 < budget < math.inf else ""
    where = f" at `{case['where']}`" if case.get("where") else ""
    return f"got `{case['got']}`, want `{case['want']}`{near},{where} in {case['dtype']}, mode {case['mode']}"


def opened(finding: Finding) -> str:
    """Return the address of the smallest case in the figure of its loss; nothing where it is no call that it draws."""
    case = finding.case or {}
    inputs, wrong_call = case.get("inputs", {}), finding.clause.kind == "interface"
    if wrong_call or "parameters" not in case or case["loss"] not in losses() or not shows(case["loss"], inputs):
        return ""
    return "../../" + link(case["loss"], inputs, case["parameters"])


def shown(finding: Finding) -> dict[str, str]:
    """Return what a page says of the smallest case of a finding."""
    return {"numbers": numbers(finding), "open": opened(finding)}


def page(peer: Peer) -> str:
    """Return the page of an implementation."""
    versions = peer.row["versions"] if peer.row else {}
    of = ", ".join(f"{n} {v}" for n, v in versions.items() if v and n not in ("lossproof", "spec"))
    listed = [
        {"of": found, "link": clause_link(found.clause.id), "reason": linked(found.reason), **shown(found)}
        for found in peer.findings
    ]
    return rendered(
        "peer.md",
        peer=peer,
        judged=list(judged()),
        sentence=sentence(peer),
        counts=counts(peer),
        declared=declared(peer),
        versions=of,
        findings=listed,
        lacks=peer.row["lacks"] if peer.row else [],
    )


def loss_page(loss: str) -> str:
    """Return the clauses that somebody differs from, of the implementations that were judged as one loss."""
    of = of_loss(loss)
    rows = []
    for key in clauses():
        broken = {f.peer: f for f in reversed(by_clause().get(key, ())) if f.loss == loss or len(f.peer.losses) == 1}
        if any(peer in broken for peer in of):
            marks = [f"[●](#{broken[p].anchor})" if p in broken else "" for p in of]
            rows.append({"link": clause_link(key), "title": clauses()[key].title.replace("|", "\\|"), "marks": marks})
    given = {"counts": counts, "found": found, "spec": SPEC, "page": losses()[loss].name}
    return rendered("loss.md", loss=loss, peers=of, rows=rows, **given)


def differs_page(name: str) -> str:
    """Return who differs from the clauses of a page of the spec."""
    own = spec_page(name)
    rows = [
        {"id": key, "link": clause_link(key), "title": clause.title, "differing": differing(key)}
        for key, clause in own.clauses.items()
        if differing(key)
    ]
    return rendered("differs.md", name=name, title=own.text.splitlines()[0][2:], clauses=rows, spec=SPEC)


def matrix() -> list[dict[str, Any]]:
    """Return a row for each implementation: how many findings it has as each loss."""
    columns = list(judged())
    rows = []
    for peer in peers():
        cells = []
        for loss in columns:
            mine = [f for f in peer.findings if f.loss == loss]
            count = peer.row["findings"] if peer.row and len(peer.losses) == 1 else len(mine)
            cells.append(str(count) if loss in peer.losses else "")
        rows.append({"peer": peer, "cells": cells})
    return rows


def others() -> list[dict[str, str]]:
    """Return the public calls that are no function of a page."""
    return [
        {"name": d.name, "library": d.library, "loss": d.loss, "departs": d.departs} for d in dialects() if d.departs
    ]


def write(source: Path, files: Path) -> None:
    """Write the pages."""
    pages = {peer.page: page(peer) for peer in peers()}
    pages |= {f"peers/{loss}": loss_page(loss) for loss in judged()}
    libraries = list(dict.fromkeys(peer.library for peer in peers()))
    for library in libraries:
        of = [(peer, found(peer)) for peer in peers() if peer.library == library]
        pages[f"peers/{library}/index"] = rendered("library.md", library=library, peers=of)
    broken = [name for name in page_names() if any(map(differing, spec_page(name).clauses))]
    pages |= {f"peers/clauses/{name}": differs_page(name) for name in broken}
    pages["peers/index"] = rendered(
        "peers.md",
        losses=list(judged()),
        libraries=libraries,
        pages={loss: losses()[loss].name for loss in judged()},
        number={loss: len(of_loss(loss)) for loss in judged()},
        rows=matrix(),
        broken=[(name, sum(map(len, map(differing, spec_page(name).clauses)))) for name in broken],
        others=others(),
        peers=peers(),
        total=sum(map(len, by_clause().values())),
    )
    pages |= {f"peers/{key}": one_name.page(key) for key in one_name.SCRIPTS}
    for name, text in pages.items():
        place = source / f"{name}.md"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
