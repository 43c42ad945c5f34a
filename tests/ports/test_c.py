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
BUILDS = {
    "strict": STRICT,
    "sanitized": (*STRICT, "-g", "-O1", f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all"),
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Return the program as the README says, and one that ends at the first undefined step or leak."""
    return {name: build(tmp_path_factory.mktemp(name) / "port", flags=flags) for name, flags in BUILDS.items()}


@pytest.fixture(scope="module")
def port(programs):
    """Return the program that ends at the first undefined step or leak."""
    return programs["sanitized"]


def said(program, lines):
    """Return what a program answers to lines, which are messages or bytes."""
    raw = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    done = subprocess.run([program], input=raw, capture_output=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def answers(programs):
    """Return the answers of one process to all vectors, by the program."""
    return {name: said(program, [*CASES, BYE]) for name, program in programs.items()}


def test_hello_offers_every_loss_and_every_function_that_is_judged(port):
    (hello,) = said(port, [HELLO])
    assert hello["losses"].keys() == losses().keys()
    assert all(offer == {"accepts": None} for offer in (hello["losses"] | hello["functions"]).values())


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("number", range(len(VECTORS)), ids=lambda number: VECTORS[number].id)
def test_a_vector_is_within_its_budget(answers, name, number):
    vector, answer = VECTORS[number], answers[name][number]
    assert answer["id"] == number
    pairs = [(answer["value"], vector.value, vector.budget["value"])]
    pairs += [(answer["gradients"][n], want, vector.budget["gradients"][n]) for n, want in vector.gradients.items()]
    for got, want, budget in pairs:
        assert np.all(np.abs(decode(got)[0] - np.array(want)) <= np.array(budget))


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
def test_a_line_that_is_wrong_is_refused_and_the_next_is_answered(port, answers, line):
    refused, answered = said(port, [line, PLAIN])
    assert refused["type"] == "answer"
    assert refused["error"]["message"]
    assert answered == answers["sanitized"][PLAIN["id"]]


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
