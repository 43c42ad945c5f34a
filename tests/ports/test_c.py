"""The C port: it compiles without a warning, is right on every frozen vector, and answers whatever it is sent."""

import json
import re
import subprocess

import numpy as np
import pytest

from examples.ports.c.build import FOLDER, PROGRAM, STRICT, build, compiler
from lossproof.conformance.checks.vectors import case_of
from lossproof.conformance.host.arrays import decode
from lossproof.spec import losses, vectors

VECTORS = [vector for loss in losses() for vector in vectors(loss)]
CASES = [case_of(vector).message(number) for number, vector in enumerate(VECTORS)]
PLAIN = next(case for case in CASES if case["loss"] == "triplet_margin_loss")
HELLO, BYE = {"type": "hello", "protocol": 1}, {"type": "bye"}
SANITIZERS = "undefined" if "ziglang" in compiler() else "address,undefined"  # the wheel has no runtime of the other


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """Return the path of the program, compiled as the port's README says."""
    return build(tmp_path_factory.mktemp("c") / "port")


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """Return the path of a program that ends at the first undefined step or leak."""
    flags = (*STRICT, "-g", "-O1", f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all")
    return build(tmp_path_factory.mktemp("c") / "sanitized", flags=flags)


def said(program, lines):
    """Return what a program answers to lines, which are messages or bytes."""
    raw = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    done = subprocess.run([program], input=raw, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def answers(port):
    """Return the answers to all vectors, of one process."""
    return said(port, [*CASES, BYE])


def test_hello_offers_every_loss_and_every_function_that_is_judged(port):
    (hello,) = said(port, [HELLO])
    assert hello["losses"].keys() == losses().keys()
    assert all(offer == {"accepts": None} for offer in (hello["losses"] | hello["functions"]).values())


@pytest.mark.parametrize("number", range(len(VECTORS)), ids=lambda number: VECTORS[number].id)
def test_a_vector_is_within_its_budget(answers, number):
    vector, answer = VECTORS[number], answers[number]
    assert answer["id"] == number
    pairs = [(answer["value"], vector.value, vector.budget["value"])]
    pairs += [(answer["gradients"][n], want, vector.budget["gradients"][n]) for n, want in vector.gradients.items()]
    for got, want, budget in pairs:
        assert np.all(np.abs(decode(got)[0] - np.array(want)) <= np.array(budget))


def test_the_sanitizers_find_nothing_on_the_vectors(sanitized, answers):
    assert said(sanitized, [*CASES, BYE]) == answers


def changed(**fields):
    return {**PLAIN, **fields}


def with_anchor(**fields):
    return changed(inputs={**PLAIN["inputs"], "anchor": {**PLAIN["inputs"]["anchor"], **fields}})


REFUSED = {
    "no JSON": b"margin",
    "an empty line": b"",
    "half a line": json.dumps(PLAIN).encode()[:200],
    "a byte 0": b'{"type": "case\0"}',
    "bytes that are no text": b'{"type": "\xff\xfe"}',
    "a string without an end": b'{"type": "case',
    "an escape that is none": rb'{"type": "\q"}',
    "half a surrogate pair": rb'{"type": "\ud800"}',
    "a number that is none": b'{"id": 1.}',
    "too deep": b"[" * 1_000_000,
    "a long line": b'"' + b"x" * 5_000_000 + b'"',
    "no object": b"[1]",
    "another type": {"type": "answer", "id": 3},
    "no loss": changed(loss="no_loss"),
    "no inputs": changed(inputs=[]),
    "an unknown option": changed(parameters={"marjin": 1.0}),
    "an option of another type": changed(parameters={"margin": "wide"}),
    "data that is no base64": with_anchor(data="!" * 44),
    "data that is too short": with_anchor(data="AAAA"),
    "a shape that fits into no memory": with_anchor(shape=[2**40, 2**40]),
    "a negative length": with_anchor(shape=[-1]),
    "an unknown dtype": with_anchor(dtype="float8"),
    "too many axes": with_anchor(shape=[1] * 20),
}


@pytest.mark.parametrize("line", REFUSED.values(), ids=REFUSED)
def test_a_line_that_is_wrong_is_refused_and_the_next_is_answered(sanitized, answers, line):
    refused, answered = said(sanitized, [line, PLAIN])
    assert refused["type"] == "answer"
    assert refused["error"]["message"]
    assert answered == answers[PLAIN["id"]]


@pytest.mark.parametrize("fields", [{"mode": "compiled"}, {"order": 2}], ids=str)
def test_what_is_not_offered_is_unsupported(port, fields):
    assert said(port, [changed(**fields)])[0]["unsupported"]


def test_another_protocol_is_refused(port):
    assert said(port, [{"type": "hello", "protocol": 2}])[0]["type"] == "refused"


def test_bye_ends_the_program_though_more_follows(port):
    assert said(port, [BYE, HELLO]) == []


def test_the_program_of_the_readme_needs_the_losses_alone(tmp_path):
    text = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
    (tmp_path / "example.c").write_text(program, encoding="utf-8")
    run = build(tmp_path / "example", (tmp_path / "example.c", PROGRAM[0]))
    assert subprocess.run([run], capture_output=True, text=True).stdout.startswith("19.1964, and -1.2000 for")
