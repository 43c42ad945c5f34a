"""Train one small network with the same loss in torch, TensorFlow and JAX, compare the curves, draw the embeddings.

python examples/digits/run.py [OBJECTIVE ...]
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

import click
import numpy as np
from pictures import draw_curves, draw_embeddings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from shared import DTYPES, OBJECTIVES, STEPS, Array, setup, val_at_far

FRAMEWORKS = ("torch", "tensorflow", "jax")
COMPARED = 100  # steps over which float64 curves have to agree
LIMIT = 1e-9
HERE = Path(__file__).parent


def work(objective: str, framework: str, epochs: int, out: str) -> None:
    """Train in one framework, in a process of its own; a dot is one step done."""
    results = {}
    for dtype in DTYPES:
        losses, embeddings = [], []
        for result in importlib.import_module(f"train_{framework}").train(setup(objective, epochs=epochs), dtype):
            if isinstance(result, float):
                losses.append(result)
                print(".", flush=True)
            else:
                embeddings.append(result)
        results |= {f"{dtype} losses": np.array(losses), f"{dtype} embeddings": np.stack(embeddings)}
    np.savez(out, **results)


def trained(objective: str, framework: str, epochs: int, progress: Progress) -> dict[str, Array]:
    """Return what a worker found, and its seconds."""
    line = [__file__, objective, "--epochs", str(epochs), "--worker", framework]
    return called(f"{objective} in {framework}", line, len(DTYPES) * STEPS * epochs, progress)


def called(what: str, line: list[str], total: int, progress: Progress) -> dict[str, Array]:
    """Return what the worker of a command line writes to its last argument; one that fails shows what it said."""
    task = progress.add_task(what, total=total)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out, said = Path(folder) / "results.npz", Path(folder) / "stderr"
        quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        with (
            said.open("w") as stderr,
            subprocess.Popen(
                [sys.executable, *line, str(out)], stdout=subprocess.PIPE, stderr=stderr, text=True, env=quiet
            ) as process,
        ):
            for step in process.stdout or ():
                progress.advance(task, step.strip() == ".")
        if process.returncode:
            raise click.ClickException(f"{what} failed\n{said.read_text()}")
        return {**np.load(out), "seconds": np.array(time.perf_counter() - start)}


def difference(curves: list[Array]) -> Array:
    """Return, for each step, the largest relative difference of two curves."""
    pairs = [np.abs(x - y) / np.maximum(np.maximum(np.abs(x), np.abs(y)), 1e-300) for x, y in combinations(curves, 2)]
    return np.max([np.zeros_like(curves[0]), *pairs], axis=0)


def summary(objective: str, found: dict[str, dict[str, Array]], labels: Array) -> Table:
    """Return the table of one objective: loss, and VAL at FAR 1e-2 of the held-out digits."""
    table = Table(title=f"{objective}: {OBJECTIVES[objective].loss}")
    for column in ("framework", "dtype", "first loss", "last loss", "VAL before", "VAL after", "seconds for both"):
        table.add_column(column)
    for framework, result in found.items():
        for dtype in DTYPES:
            losses, (before, after) = result[f"{dtype} losses"], result[f"{dtype} embeddings"]
            vals = [f"{val_at_far(x, labels):.3f}" for x in (before, after)]
            numbers = [f"{losses[0]:.6f}", f"{losses[-1]:.6f}", *vals, f"{float(result['seconds']):.0f}"]
            table.add_row(framework, dtype, *numbers)
    return table


@click.command(help=__doc__)
@click.argument("objectives", nargs=-1, type=click.Choice(list(OBJECTIVES)))
@click.option("--epochs", default=2, show_default=True)
@click.option("--pictures", default=str(HERE), show_default=False, help="Folder of the pictures.")
@click.option("--worker", nargs=2, hidden=True)
def main(objectives: tuple[str, ...], epochs: int, pictures: str, worker: tuple[str, str] | None) -> None:
    """Train, compare, draw; exit 1 where float64 curves part."""
    if worker:
        work(objectives[0], worker[0], epochs, worker[1])
        return
    Path(pictures).mkdir(parents=True, exist_ok=True)  # before the minutes of training, not after
    console, parted = Console(width=100), []
    for objective in objectives or OBJECTIVES:
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        with Progress(*columns, console=console) as progress:
            found = {framework: trained(objective, framework, epochs, progress) for framework in FRAMEWORKS}
        curves = {d: {f: result[f"{d} losses"] for f, result in found.items()} for d in DTYPES}
        apart = {dtype: difference(list(curves[dtype].values())) for dtype in DTYPES}
        labels = setup(objective).seen_labels
        console.print(summary(objective, found, labels))
        for dtype in DTYPES:
            first, whole = apart[dtype][:COMPARED].max(), apart[dtype].max()
            console.print(f"{dtype}: largest relative difference {first:.1e} in {COMPARED} steps, {whole:.1e} in all")
        draw_curves(Path(pictures) / f"{objective}_loss.png", objective, curves, apart)
        shown = {f: result["float64 embeddings"] for f, result in found.items()}
        draw_embeddings(Path(pictures) / f"{objective}_embeddings.png", objective, shown, labels)
        parted += [objective] if not apart["float64"][:COMPARED].max() <= LIMIT else []
    if parted:
        raise click.ClickException(f"the float64 curves of {', '.join(parted)} part by more than {LIMIT}")


if __name__ == "__main__":
    main()
