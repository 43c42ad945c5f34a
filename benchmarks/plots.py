"""Time and memory of the mined losses against the number of rows, with the floor: the distance matrix alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.rows import MATRIX, OURS

COLOURS = {"batch_hard": "#0072B2", "batch_all": "#D55E00", "semi_hard": "#009E73", "circle": "#CC79A7"}


def draw(found: Mapping[str, Any], folder: Path) -> Path | None:
    """Draw both pictures side by side; None where nothing was measured that grows."""
    growing = [e for e in found["rows"] if e["rows"]]
    if not growing:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for loss, colour in COLOURS.items():
        own = [e for e in growing if e["loss"] == loss]
        left.plot([e["rows"] for e in own], [e["milliseconds"][OURS][1] for e in own], "o-", color=colour, label=loss)
        known = [(e["rows"], e["peak MiB"].get(OURS)) for e in own if e["peak MiB"].get(OURS)]
        right.plot([rows for rows, _ in known], [peak for _, peak in known], "o-", color=colour, label=loss)
    floor = {e["rows"]: e for e in growing if MATRIX in e["milliseconds"]}
    left.plot([*floor], [e["milliseconds"][MATRIX][1] for e in floor.values()], "k--", label=MATRIX)
    known = [(rows, e["peak MiB"].get(MATRIX)) for rows, e in floor.items() if e["peak MiB"].get(MATRIX)]
    right.plot([rows for rows, _ in known], [peak for _, peak in known], "k--", label=MATRIX)
    for axes, what in ((left, "milliseconds"), (right, "peak memory, MiB")):
        scale = "log" if any(len(line.get_xdata()) for line in axes.lines) else "linear"  # nothing has no logarithm
        axes.set(xscale="log", yscale=scale, xlabel="rows of the batch", title=f"{what}, forward and backward")
        axes.set_xticks([*floor], [str(rows) for rows in floor])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    left.legend(frameon=False, fontsize=8)
    path = folder / "growth.png"
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
