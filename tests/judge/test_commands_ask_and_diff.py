"""`lossproof ask` and `lossproof diff`: what each exit status means, what is shown, and the one line of bad input."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from lossproof.conformance.command import main
from lossproof.conformance.host.case import Case
from lossproof.conformance.side_by_side.batch_file import BatchError, read_batch
from lossproof.spec import vectors

LOSS = "triplet_margin_loss"
MINE = """
import numpy as np


def plain(anchor, positive, negative, margin=1.0, reduction="mean"):
    near, far = (np.linalg.norm(anchor - rows, axis=-1) for rows in (positive, negative))
    return reduced(np.maximum(near - far + margin, 0), reduction)


def swapped(anchor, positive, negative, margin=1.0, reduction="mean"):
    near, far, other = (np.linalg.norm(x, axis=-1) for x in [anchor - positive, anchor - negative, positive - negative])
    return reduced(np.maximum(near - np.minimum(far, other) + margin, 0), reduction)


def other_names(a, p, n):
    return plain(a, p, n)


def reduced(terms, reduction):
    return {"none": terms, "sum": terms.sum(), "mean": terms.sum() / max(terms.size, 1)}[reduction]
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def diff(*arguments):
    return run("diff", *arguments, "--framework", "numpy", "--loss", LOSS, "--examples", "1")


# diff


def test_two_that_differ_are_status_1_with_the_clause_and_a_line_for_each(mine):
    said = diff("mine.py:plain", "mine.py:swapped", "--fixed", "eps=0")
    assert said.exit_code == 1, said.output
    assert f"{LOSS}: they differ; the smallest case" in said.output
    assert "TM-5, `swap` takes the smaller" in said.output
    lines = [line for line in said.output.splitlines() if line.strip().startswith(("A: python -c", "B: python -c"))]
    assert [name in line for name, line in zip(("m.plain", "m.swapped"), lines, strict=True)] == [True, True]


def test_two_that_agree_are_status_0_with_the_number_of_cases(mine):
    said = diff("mine.py:swapped", "numpy(swap=True)", "--fixed", "eps=0", "--fixed", "swap=true")
    assert (said.exit_code, said.output.splitlines()[0].startswith(f"{LOSS}: no difference found on ")) == (0, True)


def test_a_letter_before_a_claim_says_whose_it_is(mine):
    renamed = [f"--rename=B.{own}={name}" for own, name in (("a", "anchor"), ("p", "positive"), ("n", "negative"))]
    said = diff("mine.py:plain", "mine.py:other_names", "--fixed", "eps=0", *renamed)
    assert (said.exit_code, "no difference found" in said.output) == (0, True)


def batch(folder, **changed):
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal((4, 3)) for name in ("anchor", "positive", "negative")}
    arrays["negative"][1:] += 50.0  # no term but the first
    np.savez(
        folder / "batch.npz", **{name: array for name, array in {**arrays, **changed}.items() if array is not None}
    )
    return "batch.npz"


def test_a_batch_names_the_triplet_that_differs(mine):
    rows = {"anchor": np.zeros((4, 1)), "positive": np.full((4, 1), 2.0), "negative": np.full((4, 1), 50.0)}
    rows["negative"][2] = 2.5  # nearer to the positive than to the anchor
    said = diff("mine.py:plain", "mine.py:swapped", "--fixed", "eps=0", "--batch", batch(mine, **rows))
    assert (said.exit_code, "Of 4 triplets, triplet 2 differs; at 2 A has 0.5, B 2.5." in said.output) == (1, True)


def test_a_batch_on_which_two_agree_is_status_0(mine):
    said = diff("mine.py:plain", "numpy", "--fixed", "eps=0", "--batch", batch(mine))
    assert (said.exit_code, f"{LOSS}, batch.npz: no difference" in said.output) == (0, True)


REFUSED = {
    "one target": (["numpy"], "name two implementations, A and B, got 1"),
    "three targets": (["numpy", "torch", "jax"], "name two implementations, A and B, got 3"),
    "no framework": (["numpy", "mine.py:plain"], "mine.py:plain: which framework? give --framework"),
    "too many frameworks": (
        ["numpy", "mine.py:plain", *["--framework", "numpy"] * 3],
        "--framework is given 3 times for 1 implementations that need one",
    ),
    "no loss": (["numpy", "numpy", "--loss", "quadruplet_loss"], "'quadruplet_loss' is no loss of the spec"),
    "no loss but a function": (["numpy", "numpy", "--loss", "arcface_logits"], "is a function that is no loss"),
    "no option": (["numpy", "numpy(swop=True)"], "numpy: 'swop' is unknown"),
    "a wrong value": (["numpy", "numpy(swap=maybe)"], "numpy swap=maybe: must be true or false"),
    "no pair": (["numpy", "numpy(swap)"], "numpy 'swap' must be NAME=VALUE"),
    "claims of ours": (["numpy", "numpy", "--fixed", "eps=0"], "our own backends offer all of each page"),
    "no such program": (["numpy", "--command", "no-such-program"], "cannot start no-such-program"),
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=list(REFUSED))
def test_what_can_not_be_compared_is_one_line(mine, arguments, words):
    said = run("diff", *arguments)
    assert (said.exit_code, len(said.stderr.splitlines()), words in said.stderr) == (2, 1, True), said.stderr


BATCHES = {
    "another name": ({"anchors": np.zeros((4, 3))}, "no input 'anchors', it has anchor, positive"),
    "a missing name": ({"negative": None}, "triplet_margin_loss needs negative, and the file has anchor, positive"),
    "another shape": ({"negative": np.zeros((3, 3))}, "negative must have the shape of anchor, (4, 3), got (3, 3)"),
    "another dtype": ({"negative": np.zeros((4, 3), np.float32)}, "negative must have the dtype of anchor, float64"),
    "no floats": ({"negative": np.zeros((4, 3), int)}, "negative must hold floats, got int64"),
    "words": ({"negative": np.array(["a"])}, "negative must hold floats, got str"),
    "a mask of floats": ({"mask": np.zeros(4)}, "mask must hold booleans, got float64"),
    "a mask that is too short": ({"mask": np.zeros(3, bool)}, "mask must have shape (4,), got (3,)"),
    "objects": ({"negative": np.array([None])}, "batch.npz is no .npz file of plain arrays"),
}


@pytest.mark.parametrize(("changed", "words"), BATCHES.values(), ids=list(BATCHES))
def test_a_batch_that_is_none_is_one_line(mine, changed, words):
    with pytest.raises(BatchError) as problem:
        read_batch(mine / batch(mine, **changed), LOSS)
    assert words in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(("content", "words"), [(None, "cannot read"), (b"text", "is no .npz file of plain arrays")])
def test_a_file_that_is_no_batch_is_one_line(mine, content, words):
    if content is not None:
        (mine / "batch.npz").write_bytes(content)
    said = diff("numpy", "numpy(swap=True)", "--batch", "batch.npz")
    assert (said.exit_code, len(said.stderr.splitlines()), words in said.stderr) == (2, 1, True), said.stderr


def test_a_batch_keeps_the_dtypes_of_its_labels_and_of_tables_that_are_wider(tmp_path):
    arrays = {
        "embeddings": np.zeros((2, 3), np.float32),
        "labels": np.array([0, 1], np.uint8),
        "centers": np.ones((2, 3)),
    }
    np.savez(tmp_path / "batch.npz", **arrays)
    case = read_batch(tmp_path / "batch.npz", "center_loss")
    assert {name: case.dtype_of(name) for name in arrays} == {n: a.dtype.name for n, a in arrays.items()}


# ask


def rows_of(said):
    """Return what each row of the table says at its end, by its name."""
    lines = [line.split("│") for line in said.output.splitlines() if "│" in line]
    return {cells[0].strip(): cells[-1].strip() for cells in lines}


def test_all_answers_to_a_vector_are_in_one_table(mine):
    said = run("ask", "TM-v1", "numpy", "mine.py:plain", "--framework", "numpy", "--fixed", "eps=0")
    rows = rows_of(said)
    assert (said.exit_code, list(rows)) == (0, ["the page", "A numpy", "B mine.py:plain"])
    assert rows["A numpy"].startswith("yes, ")
    assert rows["B mine.py:plain"] == "unsupported: eps = 1e-06, it works with 0"


def message(**changed):
    rows = {name: np.array([[0.0, row]]) for name, row in (("anchor", 0.0), ("positive", 2.0), ("negative", 2.5))}
    case = Case(LOSS, rows, "float64", {"eps": 0.0, "reduction": "none"}, cotangent=np.ones(1))
    return {**case.message(1), **changed}


def written(folder, content):
    (folder / "case.json").write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return "case.json"


def test_a_message_of_the_protocol_is_a_case(mine):
    said = run("ask", written(mine, message()), "numpy", "mine.py:plain", "--framework", "numpy", "--fixed", "eps=0")
    assert (said.exit_code, [words[:5] for words in rows_of(said).values()][1:]) == (0, ["yes, ", "yes, "])


def test_who_is_wrong_is_status_1(mine):
    said = run("ask", written(mine, message()), "numpy", "mine.py:swapped", "--framework", "numpy", "--fixed", "eps=0")
    rows = rows_of(said)
    assert (said.exit_code, rows["A numpy"][:5], rows["B mine.py:swapped"][:14]) == (1, "yes, ", "no: loss[0] is")


def test_a_vector_in_a_file_is_a_case(mine):
    path = written(mine, next(vars(vector) for vector in vectors(LOSS) if vector.id == "TM-v1"))
    assert run("ask", path, "numpy").exit_code == 0


def array_of(**changed):
    return {**message()["inputs"]["anchor"], **changed}


CASES = {
    "no JSON": ("{", "case.json: line 1, column 2: "),
    "no object": ([], "case.json: $: a case is a JSON object"),
    "nothing known": ({"a": 1}, "case.json: $: "),
    "a file of vectors": (
        {"vectors": [{"id": "TM-v1"}]},
        "case.json: $.vectors: 1 cases; give one of them, or its id (TM-v1)",
    ),
    "a missing field": ({k: v for k, v in message().items() if k != "mode"}, "$: 'mode' is a required property"),
    "a field too many": (message(colour="red"), "$: Additional properties are not allowed ('colour' was unexpected)"),
    "no loss": (message(loss="triplet_loss"), "$.loss: 'triplet_loss' is no loss of the spec; did you mean"),
    "a function": (message(loss="arcface_logits"), "$.loss: 'arcface_logits' is a function that is no loss"),
    "an unknown input": (
        message(inputs={**message()["inputs"], "anchors": array_of()}),
        "$.inputs.anchors: no input of",
    ),
    "a missing input": (message(inputs={"anchor": array_of()}), "$.inputs: positive is missing, which every call"),
    "an unknown dtype": (message(inputs={"anchor": array_of(dtype="float8")}), "$.inputs.anchor.dtype: 'float8'"),
    "bytes of another shape": (
        message(inputs={**message()["inputs"], "anchor": array_of(shape=[7, 2])}),
        "$.inputs.anchor: not an array of the protocol",
    ),
    "an unknown option": (message(parameters={"marjin": 1}), "$.parameters.marjin: no option of triplet_margin_loss"),
    "a number out of range": (message(parameters={"margin": -1}), "$.parameters.margin: must be in [0, inf), got -1"),
    "a word that is none": (message(parameters={"eps_at": "top"}), "$.parameters.eps_at: must be one of difference"),
    "a call that the page refuses": (
        message(parameters={"distance": "cosine", "eps": 0.5}),
        "$: the page refuses this call: eps must be left at its default",
    ),
    "a cotangent of another shape": (
        message(parameters={"eps": 0.0}),
        "$.cotangent: must have the shape of the loss, (), got (1,)",
    ),
    "a vector that lacks a field": ({"id": "TM-v1"}, "$: 'loss' is a required property"),
}


@pytest.mark.parametrize(("content", "words"), CASES.values(), ids=list(CASES))
def test_a_case_that_is_none_is_one_line_with_its_place(mine, content, words):
    said = run("ask", written(mine, content), "numpy")
    assert (said.exit_code, len(said.stderr.splitlines()), words in said.stderr) == (2, 1, True), said.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.json", "numpy"], "cannot read nothing.json"),
        (["TM-v1"], "name one or more targets, or a --command"),
        (["TM-v1", "numpy(swap=True)"], "the options of a call come from the case"),
    ],
)
def test_a_question_that_is_none_is_one_line(mine, arguments, words):
    said = run("ask", *arguments)
    assert (said.exit_code, len(said.stderr.splitlines()), words in said.stderr) == (2, 1, True), said.stderr


def test_a_case_that_nobody_offers_is_status_2(mine):
    vector = next(v.id for v in vectors(LOSS) if v.dtype == "float32")
    said = run("ask", vector, "numpy")
    assert (said.exit_code, "unsupported: float32" in said.output) == (2, True)
