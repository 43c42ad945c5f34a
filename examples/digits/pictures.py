"""The two pictures of an objective, its loss curves and the held-out digits, and that of W processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from shared import Array, val_at_far

LINES = {"torch": ("-", 4.0, "#f4a582"), "tensorflow": ("-", 2.0, "#4393c3"), "jax": (":", 1.6, "#000000")}
SPREAD = {1: ("-", 5.0, "#f4a582"), 2: ("-", 2.5, "#4393c3"), 4: (":", 1.8, "#000000")}
SPAN = 10  # steps of the running mean that is drawn


def draw_curves(
    path: Path, objective: str, curves: Mapping[str, Mapping[str, Array]], apart: Mapping[str, Array]
) -> None:
    """Draw the float64 curves of all frameworks on one axis, and below how far they are apart in each dtype."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, height_ratios=(2, 1), layout="constrained")
    for framework, losses in curves["float64"].items():
        style, width, color = LINES[framework]
        smooth = np.convolve(losses, np.ones(SPAN) / SPAN, "valid")
        above.plot(np.arange(SPAN - 1, losses.size), smooth, style, lw=width, color=color, label=framework)
    above.set(ylabel=f"loss, mean of {SPAN} steps", title=f"{objective}: one loss in three frameworks (float64)")
    above.set_ylim(bottom=0)
    above.legend()
    for dtype, size in apart.items():
        below.semilogy(np.maximum(size, 1e-17), lw=1, label=dtype)
    below.set(xlabel="step", ylabel="relative difference")
    below.legend()
    _save(figure, path)


def draw_embeddings(path: Path, objective: str, embeddings: Mapping[str, Array], labels: Array) -> None:
    """Draw the held-out digits before (above) and after training (below), a column for each framework."""
    figure, axes = plt.subplots(2, len(embeddings), figsize=(9, 6), squeeze=False, layout="constrained")
    for column, (framework, both) in zip(axes.T, embeddings.items(), strict=True):
        for axis, rows, moment in zip(column, both, ("before", "after"), strict=True):
            dots = axis.scatter(*_plane(rows).T, c=labels, cmap="tab10", s=5, vmin=-0.5, vmax=9.5)
            axis.set(title=f"{framework}, {moment}: VAL {val_at_far(rows, labels):.3f}", xticks=[], yticks=[])
    width = rows.shape[1]
    shown = "in 2-D" if width == 2 else f"along two principal axes of {width}"
    figure.suptitle(f"{objective}: held-out digits {shown}, VAL at FAR 1e-2 (float64)")
    figure.colorbar(dots, ax=axes, ticks=range(10), label="digit", aspect=40)
    _save(figure, path)


def draw_spread(
    path: Path,
    curves: Mapping[str, Mapping[int, Array]],
    apart: Mapping[tuple[str, str, int], Array],
    limit: float,
) -> None:
    """Draw a column for each framework: the float64 curves of every W, and below how far they are from W = 1."""
    figure, axes = plt.subplots(
        2, len(curves), figsize=(10, 6), sharex=True, sharey="row", squeeze=False, layout="constrained"
    )
    for (above, below), (framework, of_worlds) in zip(axes.T, curves.items(), strict=True):
        for world, losses in of_worlds.items():
            style, width, color = SPREAD[world]
            above.plot(losses, style, lw=width, color=color, label=f"W = {world}")
        above.set(title=framework, ylim=(0, None))
        for (name, dtype, world), size in apart.items():
            if name == framework:
                style, color = "-" if dtype == "float64" else "--", SPREAD[world][2]
                so_far = np.maximum.accumulate(np.maximum(size, 1e-17))
                below.semilogy(so_far, style, lw=1, color=color, label=f"W = {world}, {dtype}")
        below.axhline(limit, color="#b2182b", lw=1, label=f"limit of float64, {limit:.0e}")
        below.set(xlabel="step")
    axes[0, 0].set(ylabel="loss (float64)")
    axes[1, 0].set(ylabel="relative difference to W = 1,\nlargest so far")
    axes[0, 0].legend()
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize="small")
    figure.suptitle("batch-hard: one batch of 64 digits over W processes, replicas or devices")
    _save(figure, path)


def _plane(rows: Array) -> Array:
    """Return rows of two dimensions as they are, others along their two principal axes."""
    if rows.shape[1] == 2:
        return rows
    centred = rows - rows.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(1)])  # the same in every framework
    return centred @ (axes * signs[:, None]).T


def _save(figure: Figure, path: Path) -> None:
    """Save with few colours: a picture in a repository is small."""
    figure.savefig(path, dpi=90)
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(48).save(path, optimize=True)
