"""The certificate and what is made of it: counts, findings, the page, the JUnit file, the table."""

import copy
import html
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from lossproof.conformance.judge.results import KNOWN, VERDICTS, Result
from lossproof.conformance.plan.probe import Probe
from lossproof.conformance.report import report, terminal
from lossproof.conformance.report.certificate import overall, schema
from lossproof.conformance.report.known_failures import apply, stale
from lossproof.spec import clauses

SCRIPT = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(2)>"

# Sums twice as large, an error with markup for p = 1, and a name with markup; right otherwise.
TOOL = f"""
from lossproof.conformance import Implementation
from lossproof.reference import triplet_margin_loss as reference

def loss(anchor, positive, negative, *, margin=1.0, p=2.0, eps=1e-6, reduction="mean", cotangent=None):
    if p == 1:
        raise RuntimeError("{IMAGE}")
    options = dict(margin=margin, p=p, eps=eps, reduction=reduction, cotangent=cotangent)
    found = reference(anchor, positive, negative, **options)
    if reduction != "sum":
        return found
    return 2 * found if cotangent is None else (2 * found[0], {{name: 2 * g for name, g in found[1].items()}})

tool = Implementation({{"triplet_margin_loss": loss}}, name="{SCRIPT}", version="1.0")
"""


def certify(folder, *arguments):
    command = [sys.executable, "-m", "lossproof.conformance", "certify", *arguments, "--report", str(folder / "out")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert "Traceback" not in run.stderr, run.stderr
    return run


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Return the folder and the terminal output of one run over two targets."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "tool.py").write_text(TOOL, encoding="utf-8")
    checks = [word for check in ("value", "reductions", "errors", "interface") for word in ("--check", check)]
    run = certify(
        folder, "lossproof.reference:", f"{folder}/tool.py:tool", "--framework", "numpy", "--examples", "3", *checks
    )
    # the name of a long target is cut, so it is the folder that is not the other one's
    (path,) = (p for p in folder.glob("out/*--check-*") if not p.name.startswith("lossproof-reference"))
    return path, run.stdout


@pytest.fixture(scope="module")
def certificate(judged):
    return json.loads((judged[0] / "certificate.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def sums(certificate):
    (finding,) = [f for f in certificate["findings"] if f["finding"] == "CV-2"]
    return finding


@pytest.fixture(scope="module")
def error(certificate):
    return next(f for f in certificate["findings"] if IMAGE in str(f["got"]))


# The certificate


def test_a_certificate_follows_its_schema(certificate):
    jsonschema.Draft202012Validator(schema("certificate")).validate(certificate)


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema("certificate"))


@pytest.mark.parametrize("key", ["verdict", "counts", "findings", "seed", "cases"])
def test_the_schema_refuses_a_certificate_without(certificate, key):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({name: value for name, value in certificate.items() if name != key}, schema("certificate"))


def test_the_schema_refuses_a_verdict_that_does_not_exist(certificate):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**certificate, "verdict": "fine"}, schema("certificate"))


def test_counts_add_up_to_the_number_of_probes(certificate):
    assert sum(sum(row.values()) for row in certificate["counts"].values()) == len(certificate["probes"])


def test_counts_are_those_of_the_probes_by_class_and_verdict(certificate):
    found = {(kind, verdict): 0 for kind in ("value", "gradient", "interface") for verdict in VERDICTS}
    for probe in certificate["probes"]:
        found[clauses()[probe["clause"]].kind, probe["verdict"]] += 1
    assert found == {(kind, v): n for kind, row in certificate["counts"].items() for v, n in row.items()}


def test_the_verdict_of_a_run_with_a_wrong_number_is_nonconformant(certificate):
    assert certificate["verdict"] == "partial: nonconformant"


def test_the_implementation_is_named_as_it_names_itself(certificate):
    assert certificate["implementation"]["name"] == SCRIPT


def test_the_cases_put_are_at_least_those_of_the_probes(certificate):
    assert certificate["cases"] >= sum(probe["run"] for probe in certificate["probes"]) > 0


def test_no_share_of_a_budget_in_a_certificate_is_above_1(certificate):
    assert 0 < max(share for row in certificate["worst"].values() for share in row.values()) <= 1


def test_a_clause_found_wrong_by_two_probes_is_one_finding(certificate):
    names = [finding["finding"] for finding in certificate["findings"]]
    assert len(names) == len(set(names))


# A finding


def test_a_finding_carries_the_text_of_its_clause(sums):
    assert (sums["clause"], sums["title"], sums["text"]) == (
        "CV-2",
        clauses()["CV-2"].title,
        clauses()["CV-2"].text.split("```")[0].strip(),
    )


def test_a_finding_carries_what_came_and_what_should_have_come(sums):
    assert sums["got"] == pytest.approx(2 * sums["want"], rel=1e-6)


def test_a_finding_carries_a_budget_smaller_than_its_error(sums):
    assert 0 < sums["budget"] < abs(sums["got"] - sums["want"])


def test_a_finding_carries_inputs_no_larger_than_they_must_be(sums):
    assert {name: (len(rows), len(rows[0])) for name, rows in sums["inputs"].items()} == dict.fromkeys(
        ("anchor", "positive", "negative"), (1, 1)
    )


def test_a_finding_carries_the_option_that_it_takes(sums):
    assert sums["parameters"]["reduction"] == "sum"


def test_an_error_is_a_finding_that_errored_with_its_words(error):
    assert (error["verdict"], error["got"]) == ("errored", f"raised RuntimeError: {IMAGE}")


def shown_by(finding):
    """Run the line of a finding in a shell that finds this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    return subprocess.run(
        finding["reproduce"], shell=True, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_the_line_of_a_wrong_number_prints_that_number(sums):
    numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*(?:e[+-]?\d+)?", shown_by(sums).stdout)]
    assert any(n == pytest.approx(sums["got"], rel=1e-6) for n in numbers)


def test_the_line_of_an_error_raises_that_error(error):
    assert f"RuntimeError: {IMAGE}" in shown_by(error).stderr


def test_the_line_of_bad_input_that_was_accepted_prints_a_loss(tmp_path):
    (tmp_path / "lax.py").write_text(
        "import numpy as np\n"
        "def triplet_margin_loss(anchor, positive, negative, *, margin=1.0, p=2.0, eps=1e-6, reduction='mean'):\n"
        "    d = [np.linalg.norm(anchor - x + eps, p, -1) for x in (positive, negative)]\n"
        "    terms = np.maximum(0.0, margin + d[0] - d[1])\n"
        "    return terms if reduction == 'none' else terms.sum() if reduction == 'sum' else terms.mean()\n",
        encoding="utf-8",
    )
    certify(tmp_path, f"{tmp_path}/lax.py:triplet_margin_loss", "--framework", "numpy", "--check", "errors")
    (path,) = tmp_path.glob("out/*/certificate.json")
    findings = json.loads(path.read_text(encoding="utf-8"))["findings"]
    (finding,) = [f for f in findings if f["finding"] == "CV-28/margin -1"]
    assert str(finding["got"]) in shown_by(finding).stdout


# The page


@pytest.mark.parametrize("markup", [SCRIPT, IMAGE])
def test_the_page_shows_markup_of_an_implementation_as_text(judged, markup):
    page = (judged[0] / "certificate.html").read_text(encoding="utf-8")
    assert (markup in page, markup in html.unescape(page)) == (False, True)


@pytest.mark.parametrize("key", ["target", "grade", "spec"])
def test_no_text_of_a_certificate_is_markup_on_the_page(certificate, key):
    assert SCRIPT not in report.page({**certificate, key: SCRIPT})


def test_no_text_of_a_finding_is_markup_on_the_page(certificate):
    changed = copy.deepcopy(certificate)
    for entry in [*changed["findings"], *changed["probes"]]:
        entry.update({key: SCRIPT for key, value in entry.items() if isinstance(value, str) and key != "class"})
    assert SCRIPT not in report.page(changed)


def test_the_page_names_every_probe(judged, certificate):
    page = html.unescape((judged[0] / "certificate.html").read_text(encoding="utf-8"))
    assert [p["name"] for p in certificate["probes"] if p["name"] not in page] == []


# The JUnit file


@pytest.fixture(scope="module")
def suite(judged):
    return ElementTree.parse(judged[0] / "junit.xml").getroot().find("testsuite")


def test_junit_counts_the_probes(suite, certificate):
    assert int(suite.get("tests")) == len(certificate["probes"])


def test_junit_counts_the_failures(suite, certificate):
    failed = [p for p in certificate["probes"] if p["verdict"] in ("nonconformant", "errored")]
    assert int(suite.get("failures")) == len(failed) > 0


def test_junit_counts_the_unsupported_as_skipped(suite, certificate):
    unsupported = [p for p in certificate["probes"] if p["verdict"] == "unsupported"]
    assert int(suite.get("skipped")) == len(unsupported) > 0


def test_junit_counts_no_errors_of_the_judge(suite):
    assert int(suite.get("errors")) == 0


def test_a_failure_in_junit_names_the_clause(suite):
    texts = [failure.text or failure.get("message") for failure in suite.iter("failure")]
    assert any("nonconformant: CV-2: loss: got" in text for text in texts)


# The terminal


def test_a_run_over_two_targets_ends_with_a_block_of_each(judged):
    first = [line for line in judged[1].splitlines() if line and not line.startswith(" ")]
    ending = "".join(first[first.index("lossproof.reference:") :])  # a path of any length is folded
    assert ending.endswith("tool.py:tool")


@pytest.mark.parametrize("show", [terminal.show_findings, terminal.show_verdict])
def test_square_brackets_in_a_certificate_are_no_markup_in_the_terminal(certificate, show):
    changed = copy.deepcopy(certificate) | {"target": "[/a]", "stale_known_failures": ["[/b]"]}
    changed["implementation"]["framework"] = "[/c]"
    for entry in changed["findings"]:
        entry.update(where="[/d]", got="[/e]", want="[/f]", reproduce="[/g]", finding="[/h]", title="[/i]")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(width=200, record=True, file=nowhere)
        show(changed, console)
        assert "[/" in console.export_text()


def test_the_terminal_shows_the_line_that_reproduces_on_one_line(judged, sums):
    assert sums["reproduce"] in judged[1].replace("\n  ", "\n").splitlines() or f"  {sums['reproduce']}" in judged[1]


# The verdict of a run


def result(verdict, clause="TM-1"):
    return Result(Probe("triplet_margin_loss", "value", clause), verdict, run=1)


@pytest.mark.parametrize(
    ("verdicts", "want"),
    [
        (["conformant"], "conformant"),
        (["conformant", "unsupported"], "conformant"),
        (["conformant", "known-failing"], "conformant"),
        (["known-failing"], "conformant"),
        (["another legal choice"], "conformant"),
        (["another legal choice", "nonconformant"], "nonconformant"),
        (["conformant", "errored"], "errored"),
        (["conformant", "errored", "nonconformant"], "nonconformant"),
        (["unsupported"], "not run"),
        ([], "not run"),
    ],
)
def test_the_verdict_of_a_run_follows_from_its_probes(verdicts, want):
    assert overall([result(verdict) for verdict in verdicts], [], True) == want


def test_a_run_that_was_not_completed_has_no_verdict():
    assert overall([result("conformant")], [], False) == "not run"


def test_a_stale_known_failure_makes_a_run_nonconformant():
    assert overall([result("conformant")], [{"finding": "TM-1"}], True) == "nonconformant"


def test_a_result_without_findings_is_never_known_failing():
    found = result("conformant")
    apply([{"loss": "triplet_margin_loss", "finding": "TM-1", "reason": "x"}], [found])
    assert found.verdict != KNOWN


def test_an_entry_of_another_loss_is_not_stale():
    assert stale([{"loss": "contrastive_loss", "finding": "TM-1", "reason": "x"}], [result("conformant")]) == []


def test_an_entry_for_one_label_is_not_stale_where_only_another_label_ran():
    other = Result(Probe("triplet_margin_loss", "examples", "CV-5"), "conformant", run=1)
    entry = {"loss": "triplet_margin_loss", "finding": "CV-5/all masked", "reason": "x"}
    assert stale([entry], [other]) == []
