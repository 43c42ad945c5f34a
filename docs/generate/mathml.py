"""A renderer of formulas for Sphinx: MathML, which a browser shows without a script or a font from elsewhere."""

from __future__ import annotations

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator


def converted(formula: str, display: str = "inline") -> str:
    """Return a formula as MathML; the converter knows `argmin` as one word only."""
    for word in ("min", "max"):
        formula = formula.replace(rf"\arg\{word}", rf"\operatorname{{arg\,{word}}}")
    return str(convert(formula, display=display))


def inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula in a line."""
    self.body.append(converted(node.astext()))
    raise nodes.SkipNode


def block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula of its own."""
    self.body.append(f'<div class="math">{converted(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer as `mathml`."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
