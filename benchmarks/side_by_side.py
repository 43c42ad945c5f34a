"""Time implementations of one thing side by side: in one process, interleaved, forward and backward.

python benchmarks/side_by_side.py [NAME ...]     all of them without a name; prints medians and ratios

Every candidate gets the same arrays and runs once in each round, in an order that changes from round to round, so what
else the machine does falls on all of them. The first of a group is the one that the ratios refer to.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

ROUNDS = 60
WARM_UP = 8
Group = dict[str, Callable[[], object]]


def torch_triplets(count: int = 1024, width: int = 512) -> Group:
    """Triplet margin loss, p = 2, rows (count, width): torch's own and ours, eager and compiled."""
    import torch
    from torch.nn.functional import triplet_margin_loss as theirs

    from lossproof.backends.torch import triplet_margin_loss as ours

    rows = [torch.randn(count, width, requires_grad=True) for _ in range(3)]

    def stepped(loss: Callable[..., torch.Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(loss(*rows), rows)

    return {
        "torch.nn.functional": stepped(theirs),
        "lossproof": stepped(ours),
        "torch.nn.functional, compiled": stepped(torch.compile(theirs)),
        "lossproof, compiled": stepped(torch.compile(ours, fullgraph=True)),
    }


def jax_triplets(count: int = 1024, width: int = 512) -> Group:
    """Triplet margin loss, p = 2, rows (count, width), jitted value and gradient: optax's and ours."""
    import jax
    import optax

    from lossproof.backends.jax import triplet_margin_loss as ours

    rng = np.random.default_rng(0)
    rows = [jax.numpy.asarray(rng.standard_normal((count, width)), "float32") for _ in range(3)]

    def stepped(loss: Callable[..., jax.Array]) -> Callable[[], object]:
        step = jax.jit(jax.value_and_grad(lambda *r: jax.numpy.mean(loss(*r)), argnums=(0, 1, 2)))
        return lambda: jax.block_until_ready(step(*rows))

    return {"optax": stepped(optax.losses.triplet_margin_loss), "lossproof": stepped(ours)}


GROUPS = {"torch_triplets": torch_triplets, "jax_triplets": jax_triplets}


def measure(group: Group) -> dict[str, list[float]]:
    """Return the seconds of each candidate in each round."""
    names, seconds = list(group), {name: [] for name in group}
    for number in track(range(WARM_UP + ROUNDS), description="rounds", transient=True):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            group[name]()
            if number >= WARM_UP:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main(wanted: list[str]) -> int:
    """Measure the groups asked for and print one table each."""
    console = Console()
    unknown = [name for name in wanted if name not in GROUPS]
    if unknown:
        console.print(f"no benchmark {', '.join(unknown)}; there are {', '.join(GROUPS)}")
        return 2
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}, {ROUNDS} rounds")
    for name in wanted or GROUPS:
        seconds = measure(GROUPS[name]())
        table = Table("candidate", "median ms", "quartiles ms", "ratio", title=f"{name}: {GROUPS[name].__doc__}")
        first = statistics.median(next(iter(seconds.values())))
        for candidate, found in seconds.items():
            low, middle, high = statistics.quantiles(found, n=4)
            table.add_row(
                candidate, f"{middle * 1e3:.2f}", f"{low * 1e3:.2f} to {high * 1e3:.2f}", f"{middle / first:.2f}"
            )
        console.print(table)
    packages = ("lossproof", "torch", "jax", "optax", "numpy")
    console.print(", ".join(f"{package} {version(package)}" for package in packages))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
