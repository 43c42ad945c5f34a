"""The frozen vectors: every number is the reference's, and reading them is not enough to be conformant."""

import io
import json
import os
import re
import shutil
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from audit.vectors import FORMAT, add, plain, vector_of, write
from audit.vectors import main as main_of_vectors
from audit.vectors_zip import TOP, packed
from lossproof import reference
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.checks.vectors import case_of, copies
from lossproof.conformance.command import main
from lossproof.conformance.host.arrays import rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge import exact
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.oracle import Oracle
from lossproof.conformance.plan.plan import losses_known, plan
from lossproof.spec import clauses, losses, vector_schema, vectors

FROZEN = {v.id: v for loss in losses() for v in vectors(loss)}
AGREE = 0.02  # of the budget: what another machine's mathematical library may differ by


def leaves(value):
    return np.ravel(np.array(value, float))


@pytest.mark.parametrize("loss", losses())
def test_every_loss_has_a_file_that_the_schema_allows(loss):
    text = (files("lossproof.spec") / "vectors" / f"{losses()[loss].name}.json").read_text(encoding="utf-8")
    jsonschema.validate(json.loads(text), vector_schema())
    assert vectors(loss)
    assert len(text) < 2**18


def test_ids_are_given_once_and_clauses_exist():
    assert len(FROZEN) == sum(len(vectors(loss)) for loss in losses())
    assert {clause for v in FROZEN.values() for clause in v.clauses} <= clauses().keys()


def differ(found, wanted, budget):
    """Whether numbers differ by more than their own last bit and a small part of the budget; NaN was not looked at."""
    error = np.abs(leaves(found) - leaves(wanted))
    return np.any(error > AGREE * leaves(budget) + np.spacing(np.abs(leaves(wanted))))


@pytest.mark.parametrize("name", FROZEN)
def test_the_numbers_are_those_of_the_reference(name):
    vector = FROZEN[name]
    fresh = vector_of(case_of(vector), name, vector.clauses, vector.betrays, vector.provenance)
    assert not differ(fresh.value, vector.value, vector.budget["value"])
    assert leaves(fresh.budget["value"]) == pytest.approx(leaves(vector.budget["value"]), rel=1e-3)
    for row, gradient in vector.gradients.items():
        budget = vector.budget["gradients"][row]
        assert not differ(fresh.gradients[row], gradient, budget)
        assert leaves(fresh.budget["gradients"][row]) == pytest.approx(leaves(budget), rel=1e-3)


@pytest.mark.parametrize("name", FROZEN)
def test_the_numbers_are_those_of_the_second_oracle(name):
    vector = FROZEN[name]
    case = case_of(vector)
    value, gradients, _ = exact.evaluate(case, case.cotangent)
    assert not differ(value, vector.value, vector.budget["value"])
    for row, gradient in gradients.items():
        assert not differ(gradient, vector.gradients[row], vector.budget["gradients"][row])


@pytest.mark.parametrize("name", FROZEN)
def test_a_vector_is_a_plain_case_whose_numbers_its_dtype_holds(name):
    case = case_of(FROZEN[name])
    assert plain(case) is not None
    for array in case.inputs.values():
        assert array.dtype.kind != "f" or np.array_equal(rounded(array, case.dtype), array)


def judge_of(function, loss="triplet_margin_loss"):
    session = InProcess(Implementation({loss: function}), "numpy")
    known = losses_known()
    return Judge.of(session, known, ours=False)


def judged(function):
    judge, found = judge_of(function), {"": [], "copies": []}
    for probe in plan("triplet_margin_loss", judge.losses["triplet_margin_loss"]):
        if probe.check == "vectors":
            result = judge.run(probe, CHECKS["vectors"])
            found[probe.label].append(bool(result.findings) or result.obscured > 0)
    return found


def table():
    """Return a function that knows the vectors, and nothing else."""
    known = {}
    for vector in vectors("triplet_margin_loss"):
        case = case_of(vector)
        known[key(case.inputs, case.parameters)] = vector

    def triplet_margin_loss(anchor, positive, negative, *, mask=None, weights=None, cotangent=None, **options):
        rows = {"anchor": anchor, "positive": positive, "negative": negative}
        units = {name: array for name, array in (("mask", mask), ("weights", weights)) if array is not None}
        vector = known.get(key(rows | units, options))
        if vector is None:
            found = reference.triplet_margin_loss(**rows, **units, cotangent=cotangent, **options)
            return found + 1.0 if cotangent is None else (found[0] + 1.0, found[1])
        value = np.array(vector.value)
        return value if cotangent is None else (value, {n: np.array(g) for n, g in vector.gradients.items()})

    return triplet_margin_loss


def key(inputs, options):
    return repr(sorted((n, np.asarray(a, float).tolist()) for n, a in inputs.items())) + repr(sorted(options.items()))


def test_the_reference_is_right_on_vectors_and_copies():
    found = judged(reference.triplet_margin_loss)
    assert not any(found[""])
    assert not any(found["copies"])


def test_who_knows_the_vectors_alone_is_wrong_on_copies():
    found = judged(table())
    assert not any(found[""])
    assert all(found["copies"])


def test_a_certificate_says_who_is_fitted_to_the_vectors(tmp_path):
    path = tmp_path / "fitted.py"
    path.write_text("import test_vectors\n\ntriplet_margin_loss = test_vectors.table()\n", encoding="utf-8")
    arguments = ["--framework", "numpy", "--check", "vectors", "--report", str(tmp_path / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        result = CliRunner().invoke(main, ["certify", f"{path}:triplet_margin_loss", *arguments])
    assert "fitted triplet_margin_loss" in result.stdout


@pytest.mark.parametrize("loss", losses())
def test_copies_are_other_cases_with_defined_answers(loss):
    for vector in vectors(loss):
        case = case_of(vector)
        found = list(copies(case, masks=True))
        assert len(found) >= 3
        for copy in found:
            value = Oracle(ours=False).expected(copy).value
            assert np.isfinite(value).all()
            assert copy.cotangent.shape == value.shape


# One file for those who keep a copy

FOLDER = Path(__file__).parents[2] / "spec" / "vectors"


def pack_into(path, *others):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["python -m audit vectors", "--zip", str(path), *others])
        return main_of_vectors()


def test_the_archive_has_every_vector_the_schema_and_what_changed(tmp_path):
    assert pack_into(tmp_path / "new" / "vectors.zip") == 0
    with zipfile.ZipFile(tmp_path / "new" / "vectors.zip") as archive:
        assert archive.testzip() is None
        names = sorted(f"{TOP}/{path.name}" for path in FOLDER.iterdir())
        assert archive.namelist() == names
        assert {f"{TOP}/{name}" for name in ("schema.json", "README.md", "CHANGELOG.md", "cosface.json")} <= set(names)
        assert archive.read(f"{TOP}/cosface.json") == (FOLDER / "cosface.json").read_bytes()


def test_the_same_vectors_are_the_same_bytes_wherever_and_whenever_they_lie(tmp_path):
    copy = Path(shutil.copytree(FOLDER, tmp_path / "copy"))
    for place, path in enumerate(sorted(copy.iterdir(), reverse=True)):
        os.utime(path, (10**9 + place, 10**9 + place))
        path.chmod(0o600)
    assert packed(copy) == packed(FOLDER)
    with zipfile.ZipFile(io.BytesIO(packed(FOLDER))) as archive:  # no version of a compressor is in it
        assert {(entry.compress_type, entry.date_time[0]) for entry in archive.infolist()} == {(0, 1980)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace('"format": 1', '"format": 2'), "$.format: 1 was expected"),
        (
            lambda text: text.replace('"dtype": "float64"', '"dtype": "float16"', 1),
            "$.vectors[0].dtype: 'float16' is not",
        ),
        (lambda text: f"{text}]", "Extra data"),
    ],
)
def test_a_file_that_the_schema_does_not_allow_is_named_with_the_place_and_nothing_is_packed(
    tmp_path, monkeypatch, capsys, change, words
):
    copy = Path(shutil.copytree(FOLDER, tmp_path / "spec" / "vectors"))
    text = (copy / "cosface.json").read_text(encoding="utf-8")
    (copy / "cosface.json").write_text(change(text), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert pack_into(tmp_path / "vectors.zip") == 2
    said = capsys.readouterr().err
    assert (said.startswith(f"spec/vectors/cosface.json: {words}"), said.count("\n")) == (True, 1), said
    assert not (tmp_path / "vectors.zip").exists()


@pytest.mark.parametrize("others", [["more.zip"], ["--zip"]])
def test_one_archive_is_written_and_nothing_else_is_done(tmp_path, capsys, others):
    assert pack_into(tmp_path / "vectors.zip", *others) == 2
    assert "--zip needs the name of one file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_changelog_has_every_vector_once_and_the_number_of_the_form():
    text = (FOLDER / "CHANGELOG.md").read_text(encoding="utf-8")
    found = []
    for prefix, first, last in re.findall(r"\b([A-Z]{2}-v)(\d+)(?: to [A-Z]{2}-v(\d+))?", text):
        found += [f"{prefix}{number}" for number in range(int(first), int(last or first) + 1)]
    assert sorted(found) == sorted(FROZEN)
    assert f"Format {FORMAT}:" in text
    assert vector_schema()["properties"]["format"]["const"] == FORMAT


# A finding becomes a vector


def certificate_of(tmp_path, entry):
    path = tmp_path / "certificate.json"
    head = {"implementation": {"name": "somebody's", "version": "1.2"}, "date": "2026-11-22T00:00:00+00:00"}
    path.write_text(json.dumps(head | {"findings": [entry]}), encoding="utf-8")
    return path


ENTRY = {
    "loss": "triplet_margin_loss",
    "finding": "TM-1",
    "clause": "TM-1",
    "dtype": "float64",
    "inputs": {"anchor": [[0.0, 1.0]], "positive": [[0.5, 0.25]], "negative": [[1.0, 1.0]]},
    "parameters": {"p": "inf", "margin": 1.0},
}


def test_a_finding_is_added_with_its_provenance_and_the_next_number(tmp_path):
    there = vectors("triplet_margin_loss")
    added = add(certificate_of(tmp_path, ENTRY), "TM-1", tmp_path)
    assert added.id == f"TM-v{1 + max(int(v.id.split('-v')[1]) for v in there)}"
    assert added.provenance == "found in somebody's 1.2, 2026-11-22"
    assert added.value == pytest.approx(0.75, abs=1e-5)
    file = json.loads((tmp_path / "triplet_margin.json").read_text(encoding="utf-8"))
    jsonschema.validate(file, vector_schema())
    assert [entry["id"] for entry in file["vectors"]] == [*(v.id for v in there), added.id]


def test_a_finding_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="no finding 'TM-9'; it has TM-1"):
        add(certificate_of(tmp_path, ENTRY), "TM-9", tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "float16"},
        {"inputs": {**ENTRY["inputs"], "negative": [[0.5, 0.25]]}, "parameters": {"margin": 0.0, "eps": 0.0}},
    ],
)
def test_half_formats_and_kinks_are_no_vectors(tmp_path, change):
    with pytest.raises(ValueError, match="not a case of finite"):
        add(certificate_of(tmp_path, ENTRY | change), "TM-1", tmp_path)


def test_what_is_written_is_read_again(tmp_path):
    loss = "contrastive_loss"
    write(loss, list(vectors(loss)), tmp_path)
    name = f"{losses()[loss].name}.json"
    assert (tmp_path / name).read_bytes() == (files("lossproof.spec") / "vectors" / name).read_bytes()


def test_a_case_without_rows_is_no_vector():
    rows = {name: np.zeros((0, 3)) for name in ("anchor", "positive", "negative")}
    assert plain(Case("triplet_margin_loss", rows, "float64", {})) is None
