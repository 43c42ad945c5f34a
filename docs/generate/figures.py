"""The figure of a worked example, or the words that say why there is none."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from docs.generate.drawing import batches, given, svg
from docs.generate.drawing.scene import Drawing
from lossproof.spec import Example

_FINEST = 1 / 250  # rows that are nearer than this share of the picture are one point in it
_KINDS: dict[str, Callable[[Example], Drawing]] = {
    "triplet_margin_loss": given.triplets,
    "contrastive_loss": given.pairs,
    "classify_triplets": given.distances,
    "verification_rates": given.thresholds,
    "verification_accuracy": given.thresholds,
    "best_accuracy": given.thresholds,
    "val_at_far": given.thresholds,
    "batch_hard_triplet_loss": batches.mined,
    "semi_hard_triplet_loss": batches.mined,
    "batch_all_triplet_loss": batches.batch,
    "batch_all_active_fraction": batches.batch,
    "sample_negatives": batches.batch,
    "joint_loss": batches.centers,
    "center_loss": batches.centers,
    "update_centers": batches.centers,
    "circle_loss": batches.rays,
    "arcface_loss": batches.rays,
    "arcface_logits": batches.rays,
    "cosface_loss": batches.rays,
    "oim_loss": batches.rays,
    "update_oim_memory": batches.rays,
}


def figure(example: Example) -> str:
    """Return a figure as raw HTML in Markdown, words where it cannot be drawn, and nothing where there is no row."""
    if example.raises:
        return ""
    draw = _KINDS.get(example.loss or str(example.function))
    if draw is None:
        return "*Not drawn: logits, probabilities and labels are no rows of a plane.*\n"
    drawing = draw(example)
    words = refusal(drawing)
    if words:
        return f"*{words}*\n"
    picture = svg.strips(drawing) if drawing.width == 1 else svg.plane(drawing)
    more = len(drawing.scenes) - svg.MOST if drawing.width == 1 else 0
    said = [drawing.legend, *drawing.notes, *([f"{more} more are not drawn."] if more > 0 else [])]
    return f"```{{raw}} html\n<figure>{picture}<figcaption>{' '.join(said)}</figcaption></figure>\n```\n"


def refusal(drawing: Drawing) -> str:
    """Return why a drawing cannot be made; nothing where it can."""
    if not drawing.scenes:
        return " ".join(["Not drawn.", *drawing.notes])
    if drawing.width > 2:
        return f"Not drawn: rows of {drawing.width} features have no place in a plane."
    for axis in range(drawing.width):
        values = sorted({point.at[axis] for scene in drawing.scenes for point in scene.points})
        gaps = [after - before for before, after in pairwise(values)]
        if gaps and min(gaps) < _FINEST * (values[-1] - values[0]) and len(values) > 2:
            return "Not drawn: some rows are so near beside others so far that they would be one point."
    return ""
