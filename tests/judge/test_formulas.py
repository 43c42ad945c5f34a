"""Formulas of the spec as plain text and as HTML: nothing of LaTeX is left, and what it says stays."""

import re

import pytest

from lossproof.conformance.report import formulas
from lossproof.conformance.report.formulas import formula, formula_html, html, paragraphs, plain
from lossproof.spec import clauses, page, page_names


def used():
    """Return every command of a formula on any page of the spec."""
    bodies = [re.sub(r"```.*?```", "", page(name).text, flags=re.DOTALL) for name in page_names()]
    found = [math for body in bodies for math in formulas.MATH.findall(body)]
    return {command[1:] for math in found for command in re.findall(r"\\[A-Za-z]+|\\.", math)}


def test_every_command_of_the_spec_is_known():
    assert used() - formulas.COMMANDS == set()


@pytest.mark.parametrize("clause", clauses().values(), ids=clauses())
def test_no_markup_of_a_formula_is_left_of_a_clause(clause):
    words = " ".join([plain(clause.title), *paragraphs(clause.text)])
    assert [sign for sign in ("$", "\\", "{\\", "^{", "_{") if sign in words] == []


@pytest.mark.parametrize("clause", clauses().values(), ids=clauses())
def test_no_source_line_break_is_left_in_a_paragraph(clause):
    assert all("\n" not in paragraph for paragraph in paragraphs(clause.text))


@pytest.mark.parametrize("name", page_names())
def test_no_markup_of_a_formula_is_left_of_a_page(name):
    body = re.sub(r"```.*?```", "", page(name).text, flags=re.DOTALL)
    assert [sign for sign in ("$", "\\") if sign in plain(body)] == []


@pytest.mark.parametrize(
    ("source", "want"),
    [
        (r"\max(0, m + d(a, p) - d(a, n))", "max(0, m + d(a, p) - d(a, n))"),
        (r"L = \sum_{i \in P} \ell_i", "L = Σ_(i ∈ P) ℓ_i"),
        (r"L = \frac{1}{|P|}\sum_{i \in P} \ell_i", "L = 1/|P| Σ_(i ∈ P) ℓ_i"),
        (r"\frac12\sum_i \lVert x_i - c_{y_i}\rVert^2", "1/2 Σ_i ‖x_i - c_(y_i)‖²"),
        (r"\frac{a + b}{2}", "(a + b)/2"),
        (r"(\sum_k |t_k|^p)^{1/p}", "(Σ_k |t_k|^p)^(1/p)"),
        (r"x \le \varepsilon", "x ≤ ε"),
        (r"s\cos\theta_j", "s cos θ_j"),
        (r"\partial_{w_j}\ell = g_j", "∂_(w_j) ℓ = g_j"),
        (r"\sqrt{\max(d^2, f)}", "√max(d², f)"),
        (r"\sqrt{a + b}", "√(a + b)"),
        (r"[2^{-60}, 2^{60}]", "[2⁻⁶⁰, 2⁶⁰]"),
        (r"(\hat v - v)\,u", "(v̂ - v) u"),
        (r"d' = \begin{cases} a & \text{swap}\\ b & \text{otherwise}\end{cases}", "d' = { a swap; b otherwise"),
        (r"\{i : d_i < t\}", "{i : d_i < t}"),
    ],
)
def test_a_formula_in_plain_text(source, want):
    assert formula(source) == want


@pytest.mark.parametrize(
    ("source", "want"),
    [
        (r"\ell_i", "ℓ<sub>i</sub>"),
        (r"(d^2)^{1/p}", "(d<sup>2</sup>)<sup>1/p</sup>"),
        (r"e^{z_k} / \sum_j e^{z_j}", "e<sup>z<sub>k</sub></sup> / Σ<sub>j</sub> e<sup>z<sub>j</sub></sup>"),
        (r"a < b", "a &lt; b"),
    ],
)
def test_a_formula_in_html(source, want):
    assert formula_html(source) == f'<span class="formula">{want}</span>'


def test_words_around_a_formula_are_escaped_in_html():
    assert html("a <b> $x < 1$ & c") == 'a &lt;b&gt; <span class="formula">x &lt; 1</span> &amp; c'


def test_paragraphs_and_items_stay_apart_and_examples_are_left_out():
    text = "One\nline, *stressed*.\n\n- an item\n  of two lines\n- another\n```toml\nvalue = 1\n```"
    assert paragraphs(text) == ["One line, stressed.", "- an item of two lines", "- another"]
