"""One training run whose batch is spread over W processes, replicas or devices; what the worker of a framework runs.

python examples/digits/spread.py FRAMEWORK STEPS OUT
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
from shared import DTYPES, ROWS, Setup, setup

WORLDS = (1, 2, 4)
# Rows of each; in JAX the blocks of a batch are of one size.
UNEVEN = {1: (ROWS,), 2: (40, 24), 4: (27, 5, 0, 32)}
EVEN = {world: (ROWS // world,) * world for world in WORLDS}
SPLITS = {"torch": UNEVEN, "tensorflow": UNEVEN, "jax": EVEN}


def plan(steps: int) -> Setup:
    """Return the batch-hard run with each batch dealt, one row of every digit in turn: positives are everywhere."""
    run = setup("batch_hard")
    dealt = run.batches[:steps].reshape(-1, 8, ROWS // 8).swapaxes(1, 2).reshape(-1, 1, ROWS)
    return replace(run, batches=dealt, dissimilar=run.dissimilar[: len(dealt)])


def parts(split: tuple[int, ...]) -> list[slice]:
    """Return where in the batch the rows of each process are."""
    ends = np.cumsum([0, *split]).tolist()
    return [slice(first, end) for first, end in pairwise(ends)]


def work(framework: str, steps: int, out: str) -> None:
    """Train with each W in each dtype; a dot is one step done."""
    results = {}
    train = importlib.import_module(f"spread_{framework}").train
    for world in WORLDS:
        for dtype in DTYPES:
            losses = []
            for result in train(plan(steps), dtype, SPLITS[framework][world]):
                if isinstance(result, float):
                    losses.append(result)
                    print(".", flush=True)
                else:
                    results[f"{dtype} {world} weights"] = result
            results[f"{dtype} {world} losses"] = np.array(losses)
    np.savez(out, **results)


if __name__ == "__main__":
    # JAX counts its devices once, before it starts.
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={max(WORLDS)} {os.environ.get('XLA_FLAGS', '')}"
    work(sys.argv[1], int(sys.argv[2]), sys.argv[3])
