"""The interactive figure: how its modules are joined, and in a browser what it shows, beside the reference."""

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from site_pages import PATIENCE

from docs.generate import figure
from docs.generate.peer_pages import opened as opened_at
from docs.generate.peers import peers
from lossproof.conformance.host.case import Case, inputs_of
from lossproof.conformance.judge.compare import shares
from lossproof.conformance.judge.oracle import Oracle
from lossproof.spec import clauses, losses, spec_version

HTML = figure.ROOT / "docs" / "_build" / "html"
DRAWN = [loss for loss in losses() if "logits" not in losses()[loss].inputs]
FRAME = 16  # milliseconds
built = pytest.mark.skipif(not HTML.is_dir(), reason="`python -m tox run -e docs` builds the site")


# without a browser


def test_the_modules_become_one_script_without_imports():
    text = figure.whole()
    assert re.findall(r"^(?:import|export)\b.*", text, re.MULTILINE) == []
    names = Counter(re.findall(r'^modules\["([^"]+)"\]', text, re.MULTILINE))
    own = {path.relative_to(figure.ROOT).as_posix() for path in figure.HOME.glob("*.mjs")}
    assert own <= set(names)
    assert set(names.values()) == {1}


@pytest.mark.parametrize(
    ("text", "words"),
    [("import all from './a.mjs';\n", "is not joined"), ("import { a } from './main.mjs';\n", "imports itself")],
)
def test_a_module_that_cannot_be_joined_is_refused(tmp_path, monkeypatch, text, words):
    monkeypatch.setattr(figure, "ROOT", tmp_path)
    (tmp_path / "main.mjs").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"main.mjs.*{words}"):
        figure.script(tmp_path / "main.mjs")


def test_the_figure_names_clauses_that_there_are():
    named = set(re.findall(r"'([A-Z]{2}-\d+)'", (figure.HOME / "clauses.mjs").read_text(encoding="utf-8")))
    assert len(named) > 50
    assert named - set(clauses()) == set()


def test_every_loss_of_rows_is_drawn():
    text = (figure.HOME / "rows.mjs").read_text(encoding="utf-8")
    assert sorted(set(re.findall(r"\b\w+_loss\b", text))) == sorted(DRAWN)


def test_a_case_becomes_an_address():
    case = {"embeddings": [[0.0], [-1.5]], "labels": [0, 1], "mask": [True, False]}
    options = {"margin": float("inf"), "distance": "cosine", "soft_margin": True}
    arrays = "embeddings=0.0/-1.5;labels=0,1;mask=1,0"
    assert figure.address(case, options) == f"#figure=v1;{arrays};margin=inf;distance=cosine;soft_margin=true"


# in a browser


@pytest.fixture
def opened(browser):
    pages = []

    def on(loss, fragment="", **context):
        page = browser.new_page(**context)
        page.set_default_timeout(PATIENCE)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(error))
        path = HTML / "spec" / spec_version() / f"{losses()[loss].name}.html"
        page.goto(path.as_uri() + fragment, wait_until="domcontentloaded")
        pages.append(page)
        return page

    yield on
    assert [error for page in pages for error in page.errors] == []
    for page in pages:
        page.close()


def call_of(page, loss):
    """Return the arrays and the options of the line of Python that a figure shows."""
    line = page.locator(".python").inner_text()
    dtypes = {"float64": np.float64, "int64": np.int64, "bool": np.bool_}
    torch = SimpleNamespace(tensor=lambda data, dtype: np.array(data, dtype), **dtypes)
    given = eval(line.partition("print(")[2].removesuffix(")"), {"torch": torch, loss: dict})
    arrays = {name: given.pop(name) for name in list(given) if isinstance(given[name], np.ndarray)}
    return inputs_of(loss, arrays), given


def numbers(page):
    """Return every number that a figure shows, by what it is of."""
    shown = "all => all.map((one) => [one.dataset.of, one.value])"
    return {of: float(value) for of, value in page.locator(".live-figure data[data-of]").evaluate_all(shown)}


def drag(page, mark, by):
    box = page.locator(f'[data-point="{mark}"] .shape').bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0] / 2, y + by[1] / 2)
    page.mouse.move(x + by[0], y + by[1])
    page.mouse.up()


@built
@pytest.mark.parametrize("loss", DRAWN)
def test_after_a_drag_and_another_margin_the_numbers_are_within_the_budget(opened, loss):
    page, rows = opened(loss), next(iter(losses()[loss].inputs))
    page.locator(".plane").scroll_into_view_if_needed()
    before, _ = call_of(page, loss)
    drag(page, f"{rows},1", (23, -17))
    if "margin" in losses()[loss].parameters:
        page.locator(".options [name=margin]").fill("0.45")
    inputs, options = call_of(page, loss)
    assert (inputs[rows][1] != before[rows][1]).all()
    assert ("margin" in losses()[loss].parameters) == (options.get("margin") == 0.45)
    expected = Oracle(ours=False).expected(Case(loss, inputs, "float64", options))
    value, budgets = expected.budgets("direct")
    shown = numbers(page)
    assert shares(np.array(shown["value"]), expected.value, value, "float64") <= 1
    for name, want in expected.gradients.items():
        got = [[shown[f"gradient {name},{i},{k}"] for k in range(2)] for i in range(len(want))]
        assert shares(np.array(got), want, budgets[name], "float64").max() <= 1


@built
def test_a_row_is_moved_and_changed_by_the_keyboard(opened):
    page = opened("batch_hard_triplet_loss")
    x = call_of(page, "batch_hard_triplet_loss")[0]["embeddings"][1, 0]
    mark = page.locator('[data-point="embeddings,1"]')
    mark.focus()
    for key in ("ArrowRight", "2", "m"):
        page.keyboard.press(key)
    inputs, _ = call_of(page, "batch_hard_triplet_loss")
    assert inputs["embeddings"][1, 0] > x
    assert inputs["labels"][1] == 2
    assert inputs["mask"].tolist() == [True, False, True, True, True, True]
    assert mark.evaluate("mark => mark === document.activeElement")
    page.keyboard.press("Delete")
    assert len(call_of(page, "batch_hard_triplet_loss")[0]["embeddings"]) == 5


@built
def test_a_link_opens_as_it_was_and_follows_what_is_changed(opened):
    (example, *_) = clauses()["BH-1"].examples
    page = opened(example.loss, figure.address(example.inputs, example.parameters))
    inputs, options = call_of(page, example.loss)
    assert inputs["embeddings"].tolist() == example.inputs["embeddings"]
    assert options["reduction"] == "none"
    assert [numbers(page)[f"term embeddings,{i} embeddings,{p}"] for i, p in ((2, 0), (3, 4))] == example.value[2:4]
    page.locator(".options [name=margin]").fill("0.5")
    page.wait_for_function("location.hash.includes('margin=0.5')")
    assert (
        opened(example.loss, page.evaluate("location.hash")).locator(".python").inner_text()
        == page.locator(".python").inner_text()
    )


@built
@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        ("#figure=v9;embeddings=0,0", "expected #figure=v1;"),
        ("#figure=v1;embeddings=0,zero;labels=0", 'embeddings holds "zero"; expected a number'),
        ("#figure=v1;embeddings=0,0/1,1;labels=0", "labels is of shape"),
        ("#figure=v1;embeddings=0,0;labels=0;margin=-1", "margin is -1; expected real in [0, inf)"),
        ("#figure=v1;embeddings=0,0;labels=0;colour=red", "colour is unknown"),
        ("#figure=v1;embeddings=0,0,0;labels=0", "has no place in a plane"),
        ("#figure=v1;labels=0%", "URI"),
    ],
)
def test_a_broken_link_opens_the_default_and_says_so(opened, fragment, words):
    page = opened("batch_hard_triplet_loss", fragment)
    said = page.locator(".live-figure .note").inner_text()
    assert said.startswith("The link holds no call that can be shown")
    assert words in said
    assert len(call_of(page, "batch_hard_triplet_loss")[0]["embeddings"]) == 6


@built
@pytest.mark.parametrize("loss", DRAWN)
def test_the_smallest_cases_of_findings_open(opened, loss):
    shown = [f.case for peer in peers() for f in peer.findings if f.loss == loss and opened_at(f)]
    for case in shown[:: max(1, len(shown) // 5)]:
        page = opened(loss, figure.address(case["inputs"], case["parameters"]))
        assert not page.locator(".live-figure .note").is_visible(), case
        for name, array in call_of(page, loss)[0].items():
            assert array.tolist() == np.asarray(case["inputs"][name]).tolist()


@built
def test_a_drag_of_32_rows_is_answered_within_a_frame(opened):
    rng = np.random.default_rng(0)
    case = {"embeddings": rng.normal(size=(32, 2)).round(2).tolist(), "labels": (np.arange(32) % 4).tolist()}
    page = opened("batch_hard_triplet_loss", figure.address(case, {}))
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # of the processor, however busy the machine is

    def spent():
        found = session.send("Performance.getMetrics")["metrics"]
        return 1000 * next(metric["value"] for metric in found if metric["name"] == "TaskDuration")

    before = spent()
    times = page.evaluate(Path(__file__).with_name("drag.js").read_text(encoding="utf-8"))
    assert len(times) == 60
    assert (spent() - before) / len(times) < FRAME, f"{(spent() - before) / len(times)}, by the clock {sorted(times)}"


@built
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_figure_has_no_fault_that_axe_finds(opened, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened("semi_hard_triplet_loss", color_scheme=scheme)
    page.locator(".plane").wait_for()
    found = axe.Axe().run(page, context=".live-figure")
    assert found.violations_count == 0, found.generate_report()


@built
def test_without_a_script_a_sentence_stands_in_its_place(opened):
    page = opened("batch_hard_triplet_loss", java_script_enabled=False)
    assert page.locator(".live-figure").inner_text().startswith("With JavaScript")


@built
def test_the_script_is_loaded_where_there_is_a_figure():
    assert "figure.js" in (HTML / "spec" / spec_version() / "circle.html").read_text(encoding="utf-8")
    assert "figure.js" not in (HTML / "index.html").read_text(encoding="utf-8")


@built
def test_the_port_is_part_of_the_site_as_it_is():
    for path in figure.PORT.rglob("*.mjs"):
        copy = HTML / "_static" / "javascript" / path.relative_to(figure.PORT)
        assert copy.read_bytes() == path.read_bytes()
