"""Spread the same batches over W = 1, 2, 4 processes or devices in torch, TensorFlow and JAX, compare the curves.

python examples/digits/devices.py
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
from pictures import draw_spread
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from run import COMPARED, FRAMEWORKS, HERE, LIMIT, called, difference
from shared import DTYPES, Array
from spread import SPLITS, WORLDS

Found = Mapping[str, Mapping[str, Array]]


def of_weights(alone: Array, spread: Array) -> float:
    """Return the largest difference of two vectors of weights, relative to the largest weight."""
    return float(abs(spread - alone).max() / abs(alone).max())


def apart(found: Found) -> dict[tuple[str, str, int], tuple[Array, float]]:
    """Return how far W processes are from one, by framework, dtype and W: the losses by step, and the final weights."""
    return {
        (framework, dtype, world): (
            difference([result[f"{dtype} {n} losses"] for n in (1, world)]),
            of_weights(*(result[f"{dtype} {n} weights"] for n in (1, world))),
        )
        for framework, result in found.items()
        for dtype in DTYPES
        for world in WORLDS[1:]
    }


def summary(found: Found, differences: Mapping[tuple[str, str, int], tuple[Array, float]]) -> Table:
    """Return the table: what W processes and one have in common."""
    table = Table(title="Batch-hard over W processes: largest relative difference to W = 1")
    for column in ("framework", "W", "rows of each", "dtype", "last loss", "loss", "final weights"):
        table.add_column(column)
    for (framework, dtype, world), (losses, weights) in differences.items():
        split = " + ".join(map(str, SPLITS[framework][world]))
        last = f"{found[framework][f'{dtype} {world} losses'][-1]:.6f}"
        table.add_row(framework, str(world), split, dtype, last, f"{losses.max():.1e}", f"{weights:.1e}")
    return table


@click.command(help=__doc__)
@click.option("--steps", default=COMPARED, show_default=True)
@click.option("--pictures", default=str(HERE), show_default=False, help="Folder of the picture.")
def main(steps: int, pictures: str) -> None:
    """Train, compare, draw; exit 1 where float64 curves part."""
    Path(pictures).mkdir(parents=True, exist_ok=True)
    console = Console(width=100)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console) as progress:
        found = {
            framework: called(
                f"W = 1, 2, 4 in {framework}", [str(HERE / "spread.py"), framework, str(steps)],
                len(WORLDS) * len(DTYPES) * steps, progress,
            )
            for framework in FRAMEWORKS
        }  # fmt: skip
    differences = apart(found)
    console.print(summary(found, differences))
    for dtype in DTYPES:
        every = [result[f"{dtype} {world} losses"] for result in found.values() for world in WORLDS]
        console.print(f"{dtype}: largest relative difference of any two of {len(every)} curves", end=" ")
        console.print(f"{difference(every).max():.1e}")
    curves = {f: {world: result[f"float64 {world} losses"] for world in WORLDS} for f, result in found.items()}
    draw_spread(
        Path(pictures) / "devices.png", curves, {key: losses for key, (losses, _) in differences.items()}, LIMIT
    )
    parted = [
        f"{framework} with W = {world}"
        for (framework, dtype, world), (losses, weights) in differences.items()
        if dtype == "float64" and not (losses.max() <= LIMIT and weights <= LIMIT)
    ]
    if parted:
        raise click.ClickException(f"in float64, {', '.join(parted)} parts from W = 1 by more than {LIMIT}")


if __name__ == "__main__":
    main()
