"""Judge the public functions of other libraries that are installed, and write the page that says what was found.

`python -m audit peers [LIBRARY…]` certifies each peer of `conformance/peers/` against its known failures and writes
what was measured; `--table` writes docs/peers.md from all that was measured. A library that is not installed is
skipped, and the run says so. Exit status 1: something new fails, or something declared passes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from audit import peers_page
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.command_endings import end
from lossproof.conformance.host.dialect_files import DialectError, checked
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.options import arguments_of
from lossproof.conformance.host.targets import TargetError
from lossproof.conformance.host.words import meant
from lossproof.conformance.report.known_failures import load
from lossproof.conformance.run import certify
from lossproof.conformance.settings import Settings
from lossproof.spec import Dialect

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "conformance" / "peers"
OF_ROWS = ("errors", "widths")  # checks that ask what rows are refused, which nobody asks of a function of distances
CLASSES = ("value", "gradient", "interface")
LONGEST = 400  # characters of what is kept of a case


def libraries() -> list[str]:
    """Return the modules of peers, by name."""
    return sorted(path.stem for path in PEERS.glob("*.py") if path.stem != "__init__")


def peers_of(library: str) -> Iterator[tuple[str, Implementation]]:
    """Yield the peers of a library by name; ImportError or TargetError where it, or its version, is not installed."""
    module = importlib.import_module(f"lossproof.conformance.peers.{library}")
    yield from ((name, thing) for name, thing in vars(module).items() if isinstance(thing, Implementation))


def framework_of(library: str) -> str:
    """Return the framework that a library's peers are called in: that of its module, or that of its dialects."""
    module = importlib.import_module(f"lossproof.conformance.peers.{library}")
    if own := getattr(module, "FRAMEWORK", ""):
        return str(own)
    return dialects_of(library)[0].framework


def dialects_of(library: str) -> tuple[Dialect, ...]:
    """Return the dialects of the library of a module of peers, whose file has its name; none of a module of several."""
    path = Path(str(files("lossproof.spec") / "dialects" / f"{library}.toml"))
    return checked(path) if path.is_file() else ()


def known_of(library: str, name: str) -> Path:
    """Return the file of the known failures of a peer."""
    return PEERS / "known" / library / f"{name}.toml"


def settings_of(library: str, name: str, peer: Implementation, options: Mapping[str, Any]) -> Settings:
    """Return what is asked of a peer: all but what its module leaves out, and of one that takes distances, rows."""
    of = [dialect for dialect in dialects_of(library) if peer.name.partition("(")[0] == dialect.name]
    takes_rows = all(dialect.convert.get("rows") != "distances" for dialect in of)
    module = importlib.import_module(f"lossproof.conformance.peers.{library}")
    left_out = (*getattr(module, "LEFT_OUT", ()), *(() if takes_rows else OF_ROWS))
    known = known_of(library, name)
    return Settings(
        target=f"lossproof.conformance.peers.{library}:{name}",
        framework=framework_of(library),
        losses=tuple(peer.losses),
        checks=tuple(check for check in CHECKS if check not in left_out) if left_out else (),
        known=load(known) if known.is_file() else (),
        jobs=1,
        **options,
    )


def row(name: str, peer: Implementation, certificate: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a certificate: counts of probes by class, findings, what the peer lacks of the page."""
    counts = certificate["counts"]
    names = {"passed": ("conformant", "another legal choice"), "known": ("known-failing",)}
    names["failed"] = ("nonconformant", "errored")
    lacks = {
        loss: [n for n in arguments_of(loss) if (own := peer.accepted(loss)) is not None and n not in own]
        for loss in peer.losses
    }
    return {
        "peer": name,
        "name": peer.name,
        "losses": list(peer.losses),
        "verdict": certificate["verdict"],
        "classes": {
            kind: {word: sum(counts[kind][verdict] for verdict in of) for word, of in names.items()} for kind in CLASSES
        },
        "findings": len(certificate["findings"]),
        "cases": [smallest(finding) for finding in certificate["findings"]],
        "complete": not certificate["scope"]["partial"],
        "declared": certificate["declared"],
        "lacks": sorted({option for options in lacks.values() for option in options}),
        "examples": certificate["examples"],
        "seed": certificate["seed"],
        "date": certificate["date"][:10],
        "versions": {
            peer.name.partition(".")[0]: peer.version,
            certificate["implementation"]["framework"]: certificate["implementation"]["framework_version"],
            "lossproof": certificate["package"],
            "spec": certificate["spec"],
        },
    }


def smallest(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a finding: its smallest case, what came back, and what the page says; no long arrays."""
    kept = ("loss", "finding", "also", "where", "got", "want", "budget", "dtype", "mode", "inputs", "parameters")
    found = {name: finding[name] for name in kept if name in finding}
    return {name: value for name, value in found.items() if len(json.dumps(value)) <= LONGEST}


def written(rows: list[dict[str, Any]]) -> str:
    """Return rows as JSON in which each case has a line."""
    lines = [json.dumps(case, ensure_ascii=False) for row in rows for case in row.get("cases", ())]
    numbers = iter(range(len(lines)))
    marked = [{**row, "cases": [f"@{next(numbers)}" for _ in row["cases"]]} if "cases" in row else row for row in rows]
    text = json.dumps(marked, indent=1, ensure_ascii=False)
    return re.sub(r'"@(\d+)"', lambda mark: lines[int(mark[1])], text) + "\n"


def judge(library: str, only: list[str], options: Mapping[str, Any]) -> int:
    """Judge the peers of a library and keep what was measured; return how many of them fail."""
    path, failing = PEERS / "measured" / f"{library}.json", 0
    kept = {r["peer"]: r for r in json.loads(path.read_text(encoding="utf-8"))} if path.is_file() else {}
    every = dict(peers_of(library))
    kept = {name: entry for name, entry in kept.items() if name in every}
    for name, peer in every.items():
        if only and name not in only:
            continue
        certificate = certify(settings_of(library, name, peer, options))
        kept[name] = row(name, peer, certificate)
        failed = [f["finding"] for f in certificate["findings"] if not f["known"]]
        stale = certificate["stale_known_failures"]
        failing += bool(failed or stale)
        print(f"{library} {name}: {certificate['verdict']}; failed {failed}; stale {stale}", flush=True)
        path.parent.mkdir(exist_ok=True)
        rows = [kept[own] for own in every if own in kept]
        path.write_text(written(rows), encoding="utf-8")
    return failing


def main() -> int:
    """Judge the libraries that are named, or all; or write the page."""
    parser = argparse.ArgumentParser(prog="python -m audit peers", description=__doc__.partition("\n\n")[0])
    parser.add_argument("libraries", nargs="*", metavar="LIBRARY", help=", ".join(libraries()))
    parser.add_argument("--only", action="append", default=[], metavar="PEER", help="this peer alone; repeatable")
    parser.add_argument("--examples", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, default=Path("certificates"))
    parser.add_argument("--table", action="store_true", help="write docs/peers.md from what was measured, and end")
    asked = parser.parse_args()
    for name in asked.libraries:
        if name not in libraries():
            end(f"no peers of {name!r}; there are {', '.join(libraries())}{meant(name, libraries())}")
    if asked.table:
        peers_page.write(ROOT)
        return 0
    failing, judged = 0, 0
    for library in asked.libraries or libraries():
        try:
            failing += judge(library, asked.only, {k: getattr(asked, k) for k in ("examples", "seed", "report")})
            judged += 1
        except (ImportError, TargetError) as problem:
            print(f"{library}: skipped, {problem}", flush=True)
        except DialectError as problem:
            end(str(problem))
    return 2 if not judged else min(failing, 1)
