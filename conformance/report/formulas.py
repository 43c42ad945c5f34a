r"""Formulas of the spec for a terminal and for a page: the part of LaTeX that it uses, as plain text or HTML.

A formula stands between `$` signs. `plain` writes `$\ell_i \le x^2$` as ℓ_i ≤ x², `html` with `<sub>` and `<sup>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape

MATH = re.compile(r"\$\$?(.+?)\$\$?", re.DOTALL)
_STRESSED = re.compile(r"(?<![\w*])\*([^\s*][^*]*)\*(?!\w)")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|.", re.DOTALL)


def _table(pairs: str) -> dict[str, str]:
    words = pairs.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_SYMBOLS = _table(
    "alpha α beta β gamma γ delta δ epsilon ε varepsilon ε eta η theta θ kappa κ lambda λ mu μ nu ν pi π rho ρ sigma σ "
    "tau τ phi φ varphi φ psi ψ omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Sigma Σ Phi Φ Psi Ψ Omega Ω ell ℓ sum Σ "
    "prod Π pm ± partial ∂ nabla ∇ infty ∞ ldots … dots … lVert ‖ rVert ‖ lvert | rvert | langle ⟨ rangle ⟩ prime ′"
)
_RELATIONS = _table(
    "le ≤ leq ≤ ge ≥ geq ≥ ne ≠ neq ≠ in ∈ notin ∉ to → leftarrow ← mapsto ↦ approx ≈ equiv ≡ cdot · times × bmod mod "
    "ll ≪ gg ≫ cup ∪ cap ∩ subset ⊂ setminus ∖ sim ∼ odot ⊙ land ∧ lor ∨"
)
_FUNCTIONS = {
    "max",
    "min",
    "ln",
    "log",
    "exp",
    "cos",
    "sin",
    "tan",
    "arccos",
    "arcsin",
    "arg",
    "argmin",
    "argmax",
    "sup",
}
_SPACES = {"\\": "; ", **dict.fromkeys(("quad", "qquad", *",;: "), " ")}
_SPACES |= dict.fromkeys(("!", "left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr"), "")
_FUNCTION_AT_END = re.compile(rf"(?:^|[^a-z])(?:{'|'.join(sorted(_FUNCTIONS))})$")
_ONE_AT_END = re.compile(r"[\w)\]‖]\u200a?$")  # a factor, before a function or a sum
_BEFORE_WHAT_CLINGS = re.compile(r"(\\(?:lVert|lvert|langle|partial|nabla|pm|mp))(?![A-Za-z])\s+")
_NARROW = "\u200a"  # marks the end of an index or a power while a formula is read
_TEXT = {"mathrm", "text", "mathbf", "mathit", "operatorname", "mathcal", "mathbb"}
_ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303", "vec": "\u20d7"}
_OTHERS = {"frac", "tfrac", "sqrt", "begin", "end", *"{}|_%&#$"}
COMMANDS = {*_SYMBOLS, *_RELATIONS, *_FUNCTIONS, *_SPACES, *_TEXT, *_ACCENTS, *_OTHERS}
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

Script = Callable[[str, str], str]


def plain(text: str) -> str:
    """Return text with its formulas written without markup."""
    return MATH.sub(lambda found: formula(found[1]), text)


def html(text: str) -> str:
    """Return text, escaped, with its formulas as HTML."""
    pieces = MATH.split(text)
    return "".join(formula_html(piece) if place % 2 else escape(piece) for place, piece in enumerate(pieces))


def formula(source: str) -> str:
    """Return one formula as plain text."""
    return _tidy(_Reader(source, _plain_script).all())


def formula_html(source: str) -> str:
    """Return one formula as HTML."""
    marked = source.replace("<", r"\lt ").replace(">", r"\gt ")
    return f'<span class="formula">{_tidy(_Reader(marked, _html_script).all())}</span>'


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs and list items of a clause, each on one line, with formulas and emphasis as plain text."""
    blocks = re.split(r"\n\s*\n|\n(?=[-*] |\d+\. |\|)", text.split("```")[0].strip())
    return [_STRESSED.sub(r"\1", plain(" ".join(block.split()))) for block in blocks if block]


def _tidy(text: str) -> str:
    return re.sub(r" +", " ", text.replace(_NARROW, "")).strip()


def _plain_script(mark: str, inner: str) -> str:
    """Return an index or a power: digits are raised, one letter needs no parentheses."""
    if mark == "^" and inner.strip("0123456789-") == "":
        return inner.translate(_RAISED)
    if mark == "^" and inner in ("⊤", "T", "′"):
        return {"T": "ᵀ"}.get(inner, inner)
    single = re.fullmatch(r"[^\W_]+|.", inner.replace("\u0302", ""))
    return mark + (inner if single else f"({inner})")


def _html_script(mark: str, inner: str) -> str:
    tag = "sub" if mark == "_" else "sup"
    return f"<{tag}>{inner}</{tag}>"


class _Reader:
    """Reads one formula from left to right."""

    def __init__(self, source: str, script: Script):
        self.tokens: Iterator[str] = iter(_TOKEN.findall(_BEFORE_WHAT_CLINGS.sub(r"\1{}", source)))
        self.script = script

    def all(self) -> str:
        """Return everything up to the end, or to the brace that closes this group."""
        written = ""
        for token in self.tokens:
            if token == "}":
                break
            written = self._add(written, token)
        return written

    def _add(self, written: str, token: str) -> str:
        """Return what is written so far with one more token, and a space where LaTeX sets one of its own accord."""
        if token in "^_":
            return written.rstrip() + self.script(token, self._argument()) + _NARROW
        piece = self._piece(token)
        begins = piece[:1].isalpha() or piece[:1] in ("√", "|", "‖", "∂", "∇")
        parted = begins and (_FUNCTION_AT_END.search(written) or (written.endswith(_NARROW) and piece[:1].isalpha()))
        summed = token[1:] in ("sum", "prod") and written.endswith("|")
        spaced = summed or (token[1:] in (*_FUNCTIONS, "sum", "prod") and _ONE_AT_END.search(written))
        return written + (" " if parted or spaced else "") + piece

    def _piece(self, token: str) -> str:
        """Return what one token stands for, with the groups that belong to it."""
        if token == "{":
            return self.all()
        if not token.startswith("\\"):
            return token if token.strip() and token != "&" else " "
        name = token[1:]
        if name in ("lt", "gt"):
            return f"&{name};"
        if name in ("begin", "end"):
            return "{ " if self._argument() == "cases" and name == "begin" else " "
        if name in ("frac", "tfrac"):
            return f"{_grouped(self._argument())}/{_grouped(self._argument())}"
        if name == "sqrt":
            return "√" + _grouped(self._argument())
        if name in _ACCENTS:
            return self._argument() + _ACCENTS[name]
        if name in _TEXT:
            return self._argument()
        if name in _RELATIONS:
            return f" {_RELATIONS[name]} "
        return _SYMBOLS.get(name, _SPACES.get(name, name))

    def _argument(self) -> str:
        """Return the next group, or the next token where it stands alone."""
        token = next(self.tokens, "")
        while token.isspace():
            token = next(self.tokens, "")
        return _tidy(self._piece(token)) if token else ""


def _grouped(inner: str) -> str:
    """Return what stands in a fraction or under a root, in parentheses unless it is one thing."""
    one = re.fullmatch(r"[\w.′\u0302∂]+|‖[^‖]*‖|\|[^|]*\||\([^()]*\)|[\w∂]*\([^()]*\)|\w<su[bp]>[^<]*</su[bp]>", inner)
    return inner if one else f"({inner})"
