"""Mutation testing of ourselves: the slips in the reference or in the judge that nobody would notice.

    python -m audit mutation reference --sample 300
    python -m audit mutation judge --sample 60

Cosmic Ray makes the slips. Each has a process of its own, forked from one that has imported numpy and torch and nothing
of ours, so that the changed module is imported like any other. A slip of the reference is noticed by the frozen vectors
with their budgets, or by the judge with its second oracle; one of the judge by a test of its parts, by a broken
implementation that lives, or by a correct one that is accused. The unchanged files are tried first, and must not be
noticed.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.resources import files
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401  imported once, for all forks
import mpmath  # noqa: F401
import numpy as np  # noqa: F401
import pytest
import torch
from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db

TESTS = Path(__file__).parents[1] / "tests"
LIMIT = 1800  # seconds; a slip that loops is noticed
JUDGE = ("judge/compare", "judge/judge", "judge/oracle", "judge/smallest", "checks/*", "plan/cases/*")


def modules(wing: str) -> list[Path]:
    """Return the files that are mutated."""
    root = Path(str(files("lossproof")))
    names = ["reference/*", "reference/judged/*"] if wing == "reference" else [f"conformance/{n}" for n in JUDGE]
    return sorted(p for name in names for p in root.glob(f"{name}.py") if p.name != "__init__.py")


def slips(paths: list[Path], sample: int, seed: int) -> list[tuple[Path, str, int]]:
    """Return (file, operator, which of its places) of slips, drawn without preference."""
    with use_db(":memory:", WorkDB.Mode.create) as work:
        init(paths, work, {})
        found = [(Path(m.module_path), m.operator_name, m.occurrence) for i in work.work_items for m in i.mutations]
    print(f"{len(found)} slips in {len(paths)} files", flush=True)
    return random.Random(seed).sample(found, min(sample, len(found)))


def noticed(wing: str, slip: tuple[Path, str, int]) -> tuple[tuple[Path, str, int], str, str]:
    """Return the slip, its changed line, and who noticed it; an empty string where nobody did."""
    path, operator, occurrence = slip
    source = path.read_text(encoding="utf-8")
    changed = mutate_code(source, get_operator(operator)(), occurrence) if operator else source
    if operator and meaning(changed or source) in (meaning(source), ""):
        return slip, "", "no slip"
    pairs = zip(source.split("\n"), changed.split("\n"), strict=False)
    lines = [f"{a.strip()}  ->  {b.strip()}" for a, b in pairs if a != b]
    _shadow(path, changed)
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("it loops"))
    signal.alarm(LIMIT)
    try:
        who = next(by_reference(path.stem) if wing == "reference" else by_judge(path.stem), "")
    except BaseException as problem:  # whatever it is, it would be seen
        who = f"{type(problem).__name__}: {problem}".splitlines()[0]
    signal.alarm(0)
    return slip, lines[0] if lines else "", who


class _Bare(ast.NodeTransformer):
    """Takes out what nobody runs: annotations."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return self.generic_visit(ast.Assign([node.target], node.value or ast.Constant(None)))


def meaning(code: str) -> str:
    """Return the code without its annotations; nothing of what is no Python."""
    try:
        return ast.dump(_Bare().visit(ast.parse(code)))
    except SyntaxError:
        return ""


def _shadow(path: Path, code: str) -> None:
    """Have Python import other text in place of a file's."""
    read, stats = SourceFileLoader.get_data, SourceFileLoader.path_stats
    sys.dont_write_bytecode = True

    def get_data(self: SourceFileLoader, name: str) -> bytes:
        return code.encode() if name == str(path) else read(self, name)

    def path_stats(self: SourceFileLoader, name: str) -> Any:
        if name == str(path):
            raise OSError  # so that no compiled file is taken for it
        return stats(self, name)

    loader: Any = SourceFileLoader
    loader.get_data, loader.path_stats = get_data, path_stats


def by_reference(name: str) -> Iterator[str]:
    """Yield who notices a slip in a module of the reference."""
    from audit.vectors import vector_of
    from lossproof.conformance.checks.vectors import case_of
    from lossproof.conformance.plan.plan import plan, plan_of_function
    from lossproof.spec import functions, losses, page, page_names, vectors

    own = name in page_names() and (page(name).functions or any(p.name == name for p in losses().values()))
    pages = [name] if own else page_names()  # what the pages share is asked about on each
    judged = [f for key in pages for f in page(key).functions if f in functions()]
    if name == "mining":  # what is drawn at random has no vector, and no one answer to compare with
        yield from _failed("backends/test_mining.py")
    for loss in [loss for loss, own in losses().items() if own.name in pages]:
        for v in vectors(loss):
            if vector_of(case_of(v), v.id, v.clauses, v.betrays, v.provenance) != v:
                yield v.id
        judged.append(loss)
    for asked in judged:
        judge, known = _judge_of("numpy", asked)
        for probe in plan(asked, known[asked]) if asked in losses() else plan_of_function(asked):
            yield from (found.clause for found in judge.run(probe, _checks()[probe.check]).findings)
    for loss in [
        loss for loss, own in losses().items() if own.name in pages and "kappa_second" in own.front["accuracy"]
    ]:
        judge, known = _judge_of("torch", loss)  # the second oracle has no second derivatives
        for probe in (p for p in plan(loss, known[loss]) if p.check == "second_order"):
            yield from (found.clause for found in judge.run(probe, _checks()[probe.check]).findings)


def by_judge(name: str) -> Iterator[str]:
    """Yield who notices a slip in a module of the judge."""
    from audit.kills import judged, mutants
    from audit.mutants.variants import VARIANTS

    yield from _failed("judge/test_compare.py")
    yield from _failed("judge/test_functions_check.py")
    for loss in _judged_by(name):
        right = [variant for variant in VARIANTS.values() if loss in variant.losses]
        for variant in right[:1]:
            yield from _accused(variant, loss)
        for mutant in mutants().values():
            if mutant.loss == loss and not mutant.ours and mutant.framework in ("torch", "numpy"):
                found = judged(mutant)
                if not found or found[-1].clause not in mutant.clauses:
                    yield mutant.id
        for variant in right[1:]:
            yield from _accused(variant, loss)


def _failed(tests: str) -> Iterator[str]:
    alone = ["-x", "-p", "no:terminal", "-p", "no:cacheprovider", "--noconftest", "-c", os.devnull]
    if pytest.main([*alone, str(TESTS / tests)]):
        yield tests


def _accused(variant: Any, loss: str) -> Iterator[str]:
    from audit.kills import adapter
    from lossproof.conformance.host.inprocess import InProcess
    from lossproof.conformance.judge.judge import Judge
    from lossproof.conformance.plan.plan import losses_known as spaces
    from lossproof.conformance.plan.plan import plan

    session = InProcess(variant, "torch", adapter())
    session.hello["modes"] = ["eager"]
    known = spaces()
    judge = Judge.of(session, known, ours=False, seed=0, examples=1)
    for probe in (p for p in plan(loss, known[loss]) if p.check != "compiled"):
        yield from (f"accuses {variant.name}: {f.clause}" for f in judge.run(probe, _checks()[probe.check]).findings)


def _judged_by(name: str) -> tuple[str, ...]:
    """Return what is judged to try a module of the judge: its own loss, every function, or some of each kind."""
    from lossproof.spec import functions, losses

    if name.startswith("function") or name == "refusals":
        return tuple(functions())
    own = tuple(loss for loss, page in losses().items() if name.startswith(page.name))
    return own or ("triplet_margin_loss", "batch_hard_triplet_loss", "center_loss", "update_centers")


def _checks() -> Mapping[str, Any]:
    found: Mapping[str, Any] = importlib.import_module("lossproof.conformance.checks").CHECKS
    return found


def _judge_of(framework: str, loss: str) -> tuple[Any, Mapping[str, Any]]:
    from lossproof.conformance.host.implementation import resolve
    from lossproof.conformance.host.inprocess import InProcess
    from lossproof.conformance.host.worker import adapter_for
    from lossproof.conformance.judge.judge import Judge
    from lossproof.conformance.plan.plan import losses_known as spaces

    known = spaces()
    session = InProcess(resolve(framework, (loss,)), framework, adapter_for(framework, "cpu"))
    return Judge.of(session, known, ours=True, exact_only=framework == "numpy", seed=0, examples=3), known


def main() -> int:
    """Draw slips, see who notices each, print the survivors."""
    options = argparse.ArgumentParser(description="Which slips of ours would nobody notice?")
    options.add_argument("wing", choices=("reference", "judge"))
    options.add_argument("--only", action="append", metavar="NAME", help="slip in this file; may be given again")
    options.add_argument("--sample", type=int, default=300)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--verbose", action="store_true", help="say who notices each slip")
    asked = options.parse_args()
    torch.set_num_threads(1)
    chosen = [path for path in modules(asked.wing) if not asked.only or path.stem in asked.only]
    drawn = slips(chosen, asked.sample, asked.seed)
    counted = survived = 0
    with multiprocessing.get_context("fork").Pool(asked.jobs, maxtasksperchild=1) as pool:
        of_group = {_judged_by(p.stem) if asked.wing == "judge" else p: p for p, *_ in drawn}
        for path in sorted(of_group.values()):
            _, _, who = pool.apply(noticed, (asked.wing, (path, "", 0)))
            if who:
                print(f"unchanged, {path.name} is noticed: {who}")
                return 2
        for (path, operator, place), line, who in pool.imap_unordered(partial(noticed, asked.wing), drawn):
            counted += who != "no slip"
            if asked.verbose:
                print(f"{path.name} {place}: {line}: {who or 'UNNOTICED'}", flush=True)
            if not who:
                survived += 1
                print(f"{path.parent.name}/{path.name}: {line}  [{operator} {place}]", flush=True)
    print(f"{counted} slips, {survived} unnoticed, seed {asked.seed}")
    return 0
