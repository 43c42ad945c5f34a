"""The protocol as a port reads it: the exchange of its page, what is no answer, and integers of every dtype."""

import json
import re
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

from lossproof.conformance.host.arrays import INTEGERS, decode, encode
from lossproof.conformance.host.case import Case, read_answer
from lossproof.conformance.host.hello import EVERY_MODE, fault
from lossproof.conformance.host.implementation import resolve
from lossproof.conformance.host.worker import adapter_for, answer_to
from lossproof.conformance.schemas import schema

TEXT = (files("lossproof.conformance") / "protocol.md").read_text(encoding="utf-8")
ASKED, ANSWERED = (
    [json.loads(line) for line in block.splitlines()]
    for block in re.findall(r"```json\n(.*?)```", TEXT.partition("## One whole exchange")[2], re.DOTALL)
)


@pytest.mark.parametrize("message", [*ASKED, *ANSWERED], ids=lambda message: message["type"])
def test_the_messages_of_the_exchange_follow_the_schema(message):
    jsonschema.validate(message, schema("protocol"))


def test_the_hello_of_the_exchange_has_no_name_that_no_page_has():
    assert fault(ANSWERED[0]) is None


def same(got, want):
    """Compare two answers, number by number."""
    assert set(got["gradients"]) == set(want["gradients"])
    pairs = [(got["value"], want["value"]), *((got["gradients"][n], g) for n, g in want["gradients"].items())]
    for one, other in pairs:
        np.testing.assert_allclose(decode(one)[0], decode(other)[0], rtol=1e-6, atol=1e-7)


def test_the_reference_answers_as_the_page_says():
    tool = resolve("lossproof.reference:", ("triplet_margin_loss",))
    same(answer_to(adapter_for("numpy", "cpu"), tool, ASKED[1]), ANSWERED[1])


def test_the_page_names_every_mode():
    assert [mode for mode in EVERY_MODE if f"`{mode}`" not in TEXT] == []


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"gradient": {}}, "a field 'gradient'; did you mean 'gradients'?"),
        ({"error": {"type": "ValueError"}}, "value and error at once"),
        ({"unsupported": "no"}, "value and unsupported at once"),
    ],
)
def test_an_answer_with_more_than_it_may_have_is_none(other, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        read_answer(ANSWERED[1] | other)


@pytest.mark.parametrize("part", ["message", "traceback"])
def test_what_a_port_says_of_its_error_is_cut(part):
    answer = read_answer({"error": {"type": "ValueError", part: "x" * 10**6}})
    assert len(answer.error[part]) < 10_000


# Integers


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_of_every_dtype_keep_their_numbers_at_both_ends(dtype):
    ends = np.array([np.iinfo(dtype).min, 0, np.iinfo(dtype).max], dtype)
    back, name = decode(encode(ends, dtype))
    assert (back.tolist(), name) == (ends.tolist(), dtype)


def test_labels_of_64_bits_without_a_sign_travel_as_such():
    labels = np.array([0, 2**63, 2**64 - 1], np.uint64)
    case = Case("circle_loss", {"embeddings": np.zeros((3, 1)), "labels": labels}, "float64", {})
    wire = case.message(1)["inputs"]["labels"]
    assert (wire["dtype"], decode(wire)[0].tolist()) == ("uint64", labels.tolist())


@pytest.mark.parametrize("dtype", INTEGERS)
def test_a_schema_has_every_integer(dtype):
    hello = {"type": "hello", "protocol": 1, "name": "", "dtypes": ["float64"], "losses": {}, "integers": [dtype]}
    jsonschema.validate(hello, schema("protocol"))
    assert fault(hello) is None
