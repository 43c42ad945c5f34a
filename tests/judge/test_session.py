"""Miniatures of bad tools: each is judged in its own process, has its own verdict, and ends nobody else's run."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host import session as session_module
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.session import Session, SessionError, worker_command
from lossproof.conformance.judge.judge import MAX_CRASHES, Judge
from lossproof.conformance.judge.results import CONFORMANT, ERRORED, NONCONFORMANT, UNSUPPORTED
from lossproof.conformance.plan.plan import losses_known, plan

LOSS = "triplet_margin_loss"
MODULES = losses_known()
PROBES = {probe.name.removeprefix(f"{LOSS}/"): probe for probe in plan(LOSS, MODULES[LOSS])}

# A Python tool: the reference behind a narrower signature, and one line of its own before the answer, if the call is
# not the plain one that the judge begins with: where that is not answered, nothing is judged (test_no_plain_call.py).
TOOL = """
import os, sys, time
import numpy as np
from lossproof.reference import triplet_margin_loss as reference

def triplet_margin_loss(anchor, positive, negative, *, margin=1.0, p=2.0, eps=1e-6, reduction="mean", cotangent=None):
    options = dict(margin=margin, p=p, eps=eps, reduction=reduction)
    if (anchor[:1, :2] != [[1.0, 2.0]]).any():
        {line}
    return reference(anchor, positive, negative, **options, cotangent=cotangent)
"""

# A program that speaks the protocol, and what it does with each answer before or instead of saying it.
PROGRAM = """
import json, os, sys
from lossproof.conformance.host.arrays import decode
from lossproof.conformance.host.implementation import resolve
from lossproof.conformance.host.worker import adapter_for, answer_to, hello_of

adapter, tool = adapter_for("numpy", "cpu"), resolve("lossproof.reference:", ("triplet_margin_loss",))

def say(message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()

for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "bye":
        break
    if message["type"] == "hello":
        hello = hello_of(adapter, tool, "numpy")
        {hello}
        continue
    answer = {{"type": "answer", "id": message["id"], **answer_to(adapter, tool, message)}}
    if decode(message["inputs"]["anchor"])[0][:1, :2].tolist() == [[1.0, 2.0]]:
        say(answer)  # the plain call that the judge begins with
    else:
        {answer}
"""


def tool(folder, line):
    path = folder / "tool.py"
    path.write_text(TOOL.format(line=line), encoding="utf-8")
    return worker_command(f"{path}:triplet_margin_loss", "numpy", "cpu")


def program(folder, answer="say(answer)", hello="say(hello)"):
    path = folder / "program.py"
    path.write_text(PROGRAM.format(answer=answer, hello=hello), encoding="utf-8")
    return [sys.executable, str(path)]


@pytest.fixture
def opened():
    sessions = []

    def start(command, **options):
        sessions.append(Session(command, **options))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()


@pytest.fixture
def judge_of(opened):
    def start(command, **options):
        session = opened(command, **options)
        return Judge.of(session, MODULES, ours=False, examples=1)

    return start


def judged(judge, name="value/TM-1"):
    return judge.run(PROBES[name], CHECKS[PROBES[name].check])


def said(result):
    return str(result.findings[0].mismatch.got)


def case(**parameters):
    rows = {"anchor": [[0.0, 0.0]], "positive": [[3.0, 4.0]], "negative": [[0.0, 1.0]]}
    inputs = {name: np.array(row) for name, row in rows.items()}
    return Case(LOSS, inputs, "float64", {"eps": 0.0, **parameters}, order=0)


# What a Python tool does to itself


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("raise ValueError('I never work')", "raised ValueError: I never work", id="raises"),
        pytest.param("os.write(2, b'last words'); os._exit(7)", "crashed", id="kills its process"),
        pytest.param("return 'five'", "raised NotALoss: the loss returned str", id="returns a string"),
        pytest.param("return None", "raised NotALoss: the loss returned NoneType", id="returns None"),
        pytest.param("return np.zeros((3, 3, 3)), {}", "(3, 3, 3)", id="returns another shape"),
        pytest.param("sys.exit(0)", "crashed", id="exits"),
    ],
)
def test_a_tool_that_gives_no_answer_is_errored_and_its_words_are_shown(judge_of, tmp_path, line, words):
    result = judged(judge_of(tool(tmp_path, line)))
    assert (result.verdict, words in said(result)) == (ERRORED, True)


def test_a_tool_that_hangs_is_errored_after_the_time_limit(judge_of, tmp_path):
    result = judged(judge_of(tool(tmp_path, "time.sleep(600)"), time_limit=0.3))
    assert (result.verdict, said(result)) == (ERRORED, "gave no answer within 0.3 s")


def test_the_last_words_of_a_tool_that_died_are_in_the_finding(judge_of, tmp_path):
    result = judged(judge_of(tool(tmp_path, "os.write(2, b'out of luck'); os._exit(7)")))
    assert "out of luck" in said(result)


def test_the_exit_status_of_a_tool_that_died_is_in_the_answer(opened, tmp_path):
    assert "exit status 7" in opened(tool(tmp_path, "os._exit(7)")).ask(case()).failure


def test_the_last_words_are_those_of_the_process_that_died_last(opened, tmp_path):
    session = opened(tool(tmp_path, "os.write(2, f'margin {margin:g}'.encode()); os._exit(7)"))
    session.ask(case(margin=3.0))
    assert "margin 3" not in session.ask(case(margin=5.0)).failure


def test_the_traceback_of_an_error_names_the_line_of_the_tool(opened, tmp_path):
    answer = opened(tool(tmp_path, "raise ValueError('I never work')")).ask(case())
    assert "raise ValueError('I never work')" in answer.error["traceback"]


def test_a_wrong_value_is_nonconformant_and_not_errored(judge_of, tmp_path):
    assert judged(judge_of(tool(tmp_path, "options['margin'] *= 2"))).verdict == NONCONFORMANT


def test_a_tool_that_prints_and_is_right_is_conformant(judge_of, tmp_path):
    assert judged(judge_of(tool(tmp_path, "print('still here')"))).verdict == CONFORMANT


def test_a_tool_that_floods_both_outputs_and_is_right_is_conformant(judge_of, tmp_path):
    flood = "[print('x' * 10**6, file=stream) for stream in (sys.stdout, sys.stderr)]; os.write(1, b'y' * 10**6)"
    assert judged(judge_of(tool(tmp_path, flood))).verdict == CONFORMANT


def test_a_print_without_a_newline_at_import_does_not_spoil_the_hello(judge_of, tmp_path):
    command = tool(tmp_path, "pass")
    path = tmp_path / "tool.py"
    path.write_text("print('{', end='', flush=True)\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert judged(judge_of(command)).verdict == CONFORMANT


# The run goes on


@pytest.mark.parametrize(
    "line",
    [
        "raise RuntimeError('no sums')",
        "os._exit(7)",
        "return 'five'",
        "return np.zeros((3, 3, 3)), {}",
    ],
)
def test_what_a_tool_can_not_do_does_not_touch_what_it_can(judge_of, tmp_path, line):
    judge = judge_of(tool(tmp_path, f"if reduction == 'sum': {line}"))
    verdicts = {name: judged(judge, name).verdict for name in ("reductions/CV-2", "reductions/CV-3", "value/TM-1")}
    assert verdicts == {"reductions/CV-2": ERRORED, "reductions/CV-3": CONFORMANT, "value/TM-1": CONFORMANT}


def test_a_case_after_a_hang_is_answered(opened, tmp_path):
    session = opened(tool(tmp_path, "if margin == 8: time.sleep(600)"), time_limit=3.0)
    session.ask(case(margin=8.0))
    assert session.ask(case(margin=1.0)).value == 5.0


def test_a_case_after_a_crash_is_answered(opened, tmp_path):
    session = opened(tool(tmp_path, "if margin == 8: os._exit(7)"))
    session.ask(case(margin=8.0))
    assert session.ask(case(margin=1.0)).value == 5.0


@pytest.mark.parametrize("name", ["value/TM-1", "precision/CV-15"])
def test_three_crashes_end_a_probe_and_the_reason_says_so(judge_of, tmp_path, name):
    result = judged(judge_of(tool(tmp_path, "os._exit(7)")), name)
    assert (result.run, result.reason) == (MAX_CRASHES, "ended after 3 crashes")


def test_three_crashes_of_one_probe_leave_the_next_its_own_three(judge_of, tmp_path):
    judge = judge_of(tool(tmp_path, "if reduction == 'sum': os._exit(7)"))
    judged(judge, "reductions/CV-2")
    assert judged(judge, "reductions/CV-3").reason == ""


@pytest.mark.parametrize("name", ["determinism/CV-21", "gradient/TM-7", "precision/CV-19"])
@pytest.mark.parametrize("line", ["raise RuntimeError('never')", "os._exit(7)"], ids=["raises", "crashes"])
def test_a_tool_that_answers_the_plain_call_alone_is_conformant_in_nothing_else(judge_of, tmp_path, line, name):
    assert judged(judge_of(tool(tmp_path, line)), name).verdict in (ERRORED, UNSUPPORTED)


def test_a_tool_that_can_not_be_started_again_is_errored(judge_of, tmp_path):
    flag = tmp_path / "flag"
    command = tool(tmp_path, f"open({str(flag)!r}, 'w').close(); os._exit(7)")
    path = tmp_path / "tool.py"
    path.write_text(
        f"import os, sys\nif os.path.exists({str(flag)!r}): sys.exit('no more')\n" + path.read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    assert judged(judge_of(command)).verdict == ERRORED


# Programs that speak the protocol


def test_a_program_that_is_right_is_conformant(judge_of, tmp_path):
    assert judged(judge_of(program(tmp_path))).verdict == CONFORMANT


def test_the_answer_to_another_case_is_garbage(judge_of, tmp_path):
    result = judged(judge_of(program(tmp_path, "say(answer | {'id': 999})")))
    assert (result.verdict, "garbage: the answer to case 999, not to case" in said(result)) == (ERRORED, True)


def test_a_second_answer_to_one_case_is_never_taken_for_the_next(opened, tmp_path):
    session = opened(program(tmp_path, "say(answer); say(answer)"))
    session.ask(case(margin=1.0))
    second = session.ask(case(margin=2.0))
    assert (second.failure or "").startswith("answered garbage") or second.value == 6.0


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("print('hello there', flush=True)", id="prose"),
        pytest.param("say([1, 2])", id="a list"),
        pytest.param("say({'type': 'bye'})", id="another type"),
        pytest.param("say({'type': 'answer', 'id': message['id']})", id="no value"),
        pytest.param("say(answer | {'value': 5.0})", id="a number for an array"),
        pytest.param("say(answer | {'value': answer['value'] | {'shape': [2]}})", id="a shape that does not fit"),
        pytest.param("say(answer | {'value': answer['value'] | {'shape': [-1]}})", id="a negative shape"),
        pytest.param("say(answer | {'value': answer['value'] | {'dtype': 'int64'}})", id="integers"),
        pytest.param("say(answer | {'value': answer['value'] | {'data': '?'}})", id="no base64"),
        pytest.param("say(answer | {'gradients': [1]})", id="gradients in a list"),
        pytest.param("say(answer | {'changed': 3})", id="a number for a list"),
        pytest.param("say({'type': 'answer', 'id': message['id'], 'error': 'oops'})", id="an error without a type"),
        pytest.param("print('[' * 100000, flush=True)", id="deep nesting"),
        pytest.param("os.write(1, b'\\xff\\xfe\\n')", id="no text"),
    ],
)
def test_what_is_no_answer_is_garbage(opened, tmp_path, answer):
    assert opened(program(tmp_path, answer)).ask(case()).failure.startswith("answered garbage: ")


def test_a_program_that_floods_its_answers_with_lines_is_errored(judge_of, tmp_path):
    result = judged(judge_of(program(tmp_path, "while True: print('x' * 1000)")))
    assert (result.verdict, said(result).startswith("answered garbage")) == (ERRORED, True)


def test_a_program_that_floods_one_line_is_stopped_at_the_longest_line(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "_LONGEST_LINE", 1 << 20)
    answer = opened(program(tmp_path, "while True: sys.stdout.write('x' * 65536)")).ask(case())
    assert answer.failure.startswith("answered garbage: a line without an end")


def test_an_endless_line_takes_no_longer_than_the_time_limit(opened, tmp_path):
    session = opened(program(tmp_path, "while True: sys.stdout.write('x' * 65536)"), time_limit=0.5)
    start = time.monotonic()
    session.ask(case())
    assert time.monotonic() - start < 10


# Hello


def test_a_program_that_dies_at_hello_is_one_line_with_its_last_words(opened, tmp_path):
    with pytest.raises(SessionError, match=r"crashed.*no licence") as caught:
        opened(program(tmp_path, hello="os.write(2, b'first\\nno licence\\n'); os._exit(3)"))
    assert "\n" not in str(caught.value)


def test_a_program_that_can_not_be_started_is_named(opened):
    with pytest.raises(SessionError, match="cannot start no-such-program-anywhere"):
        opened(["no-such-program-anywhere"])


def test_a_program_that_refuses_gives_its_reason(opened, tmp_path):
    with pytest.raises(SessionError, match=r"^no card in here$"):
        opened(program(tmp_path, hello="say({'type': 'refused', 'reason': 'no card in here'})"))


def test_a_program_that_has_refused_and_reads_no_more_gives_its_reason(opened, tmp_path, monkeypatch):
    def write(*_):
        time.sleep(1)  # as a judge does that waits for a processor
        raise BrokenPipeError

    monkeypatch.setattr(session_module.os, "write", write)
    path = tmp_path / "refusing.py"
    path.write_text("""print('{"type": "refused", "reason": "no device"}')""", encoding="utf-8")
    with pytest.raises(SessionError, match=r"^no device$"):
        opened([sys.executable, str(path)])


@pytest.mark.parametrize(
    "hello",
    [
        pytest.param("print('Welcome!', flush=True)", id="prose"),
        pytest.param("say([])", id="a list"),
        pytest.param("say({'type': 'hello', 'protocol': 1})", id="nothing offered"),
        pytest.param("say(hello | {'protocol': 2})", id="another protocol"),
        pytest.param("say(hello | {'name': 5})", id="a number for a name"),
        pytest.param("say(hello | {'grade': 'excellent'})", id="an unknown grade"),
        pytest.param("say(hello | {'dtypes': []})", id="no dtypes"),
        pytest.param("say(hello | {'losses': []})", id="losses in a list"),
    ],
)
def test_what_is_no_hello_is_refused_at_the_start(opened, tmp_path, hello):
    with pytest.raises(SessionError, match="hello"):
        opened(program(tmp_path, hello=hello))


def test_a_session_that_is_closed_leaves_no_process(opened, tmp_path):
    session = opened(program(tmp_path))
    process = session._process
    session.close()
    assert process.poll() is not None


def test_what_torch_compiles_is_kept_for_one_session_and_forgotten(monkeypatch):
    """A process that is killed while it compiles leaves half a file, which the next would load."""
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    command = worker_command("numpy", "numpy", "cpu")
    first, second = Session(command), Session(command)
    kept = [Path(session.environment["TORCHINDUCTOR_CACHE_DIR"]) for session in (first, second)]
    assert kept[0] != kept[1]
    assert all(folder.is_dir() for folder in kept)
    first.close()
    second.close()
    assert not any(folder.exists() for folder in kept)


def test_a_folder_of_compiled_code_that_somebody_has_chosen_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    session = Session(worker_command("numpy", "numpy", "cpu"))
    assert session.environment["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)
    session.close()
    assert tmp_path.is_dir()
