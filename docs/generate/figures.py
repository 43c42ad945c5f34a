"""The figure of a worked example, or the words that say why there is none."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from docs.generate.drawing import batches, given, svg
from docs.generate.drawing.scene import Drawing
from lossproof.spec import Example

_FINEST = 1 / 250  # rows that are nearer than this share of the picture are one point in it
_OF_LOSS: dict[str, Callable[[Example], Drawing]] = {
    "batch_hard_triplet_loss": batches.mined,
    "semi_hard_triplet_loss": batches.mined,
    "circle_loss": batches.rays,
}
_OF_ARRAYS: dict[tuple[str, ...], Callable[[Example], Drawing]] = {  # the first whose arrays a call has
    ("anchor", "positive", "negative"): given.triplets,
    ("x1", "x2"): given.pairs,
    ("d_ap", "d_an"): given.distances,
    ("distances", "same"): given.thresholds,
    ("embeddings", "centers"): batches.centers,
    ("embeddings", "class_weights"): batches.rays,
    ("embeddings", "lookup_table"): batches.rays,
    ("embeddings",): batches.batch,
}


def drawn(example: Example) -> Drawing | None:
    """Return the drawing of an example; None where it has no row."""
    of = [draw for arrays, draw in _OF_ARRAYS.items() if example.inputs.keys() >= set(arrays)]
    draw = _OF_LOSS.get(example.loss) or (of[0] if of else None)
    return draw(example) if draw else None


def figure(example: Example) -> str:
    """Return a figure as raw HTML in Markdown, words where it cannot be drawn, and nothing where there is no row."""
    if example.raises:
        return ""
    drawing = drawn(example)
    if drawing is None:
        return "*Not drawn: logits, probabilities and labels are no rows of a plane.*\n"
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
