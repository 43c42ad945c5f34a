"""An implementation that answers no plain call: its own traceback, once, and an end."""

import os
import sys

import pytest
from click.testing import CliRunner

from audit import alarms, explore
from lossproof.conformance import Implementation
from lossproof.conformance.command import main
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.first_questions import NoPlainCall, answer_to_functions, offers
from lossproof.conformance.plan.plan import losses_known
from lossproof.reference import triplet_margin_loss

LOSS = "triplet_margin_loss"
TOOL = """
import os, sys, time
import numpy as np

def helper(rows):
    {line}

def triplet_margin_loss(anchor, positive, negative, *, margin=1.0, cotangent=None):
    return helper(anchor)
"""


def tool(tmp_path, line):
    """Return the target and its framework, as words of a command."""
    (tmp_path / "tool.py").write_text(TOOL.format(line=line), encoding="utf-8")
    return [f"{tmp_path}/tool.py:{LOSS}", "--framework", "numpy"]


def certify(tmp_path, line, *arguments):
    report = ["--report", str(tmp_path / "out"), "--jobs", "2"]
    return CliRunner().invoke(main, ["certify", *tool(tmp_path, line), *arguments, *report])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("raise ValueError('I never work')", "raised ValueError: I never work", id="raises"),
        pytest.param("os._exit(7)", "crashed (exit status 7)", id="kills its process"),
        pytest.param("sys.exit('enough')", "crashed (exit status 1): enough", id="exits"),
        pytest.param("return 'five'", "raised NotALoss: the loss returned str", id="returns a string"),
        pytest.param("return None", "raised NotALoss: the loss returned NoneType", id="returns nothing"),
    ],
)
def test_status_2_and_what_came_of_the_plain_call(tmp_path, line, words):
    result = certify(tmp_path, line)
    first = result.stderr.splitlines()[0]
    assert (result.exit_code, f"{LOSS} answers no plain call: {words}" in first) == (2, True)


def test_a_tool_that_hangs_is_asked_once(tmp_path):
    result = certify(tmp_path, "time.sleep(600)", "--time-limit", "0.5")
    assert (result.exit_code, "gave no answer within 0.5 s" in result.stderr) == (2, True)


def test_the_traceback_is_that_of_the_implementation_once_and_nothing_of_the_judge(tmp_path):
    text = certify(tmp_path, "raise ValueError('I never work')").stderr
    assert text.count("Traceback") == text.count("raise ValueError('I never work')") == 1
    assert "in helper" in text
    assert not [part for part in ("worker.py", "frameworks/") if part in text]


def test_the_line_that_shows_it_is_below(tmp_path):
    last = certify(tmp_path, "raise ValueError('I never work')").stderr.splitlines()[-1]
    assert last.startswith("python -c 'import numpy as np")
    assert f'"{tmp_path}/tool.py"' in last


@pytest.mark.parametrize("command", [alarms.main, explore.main])
def test_alarms_and_exploration_end_likewise(tmp_path, command):
    result = CliRunner().invoke(command, tool(tmp_path, "raise ValueError('I never work')"))
    assert (result.exit_code, "answers no plain call" in result.stderr) == (2, True)


def test_a_message_of_a_megabyte_is_cut(tmp_path):
    result = certify(tmp_path, "raise ValueError('x' * 10**6)")
    assert result.exit_code == 2
    assert len(result.stderr) < 20_000
    assert "characters left out" in result.stderr


def test_an_implementation_that_refuses_one_dtype_is_asked_in_the_next():
    def loss(anchor, positive, negative, *, margin=1.0, cotangent=None):
        if anchor.dtype != "float64":
            raise TypeError("float64 alone")
        return triplet_margin_loss(anchor, positive, negative, margin=margin, cotangent=cotangent)

    offer = offers(InProcess(Implementation({LOSS: loss}), "numpy"), losses_known(), ours=False)[LOSS]
    assert list(offer.dtypes) == ["float64"]


def test_unsupported_is_no_answer():
    session = InProcess(Implementation({LOSS: triplet_margin_loss}), "numpy")
    session.adapter.run = lambda ask: {"unsupported": "not today"}
    with pytest.raises(NoPlainCall, match="unsupported: not today"):
        offers(session, losses_known((LOSS,)), ours=False)


def test_a_mode_that_is_unsupported_is_not_taken_for_the_first():
    session = InProcess(Implementation({LOSS: triplet_margin_loss}), "numpy")
    run, session.hello["modes"] = session.adapter.run, ["compiled", "eager"]
    session.adapter.run = lambda ask: {"unsupported": "one graph"} if ask.mode == "compiled" else run(ask)
    assert offers(session, losses_known((LOSS,)), ours=False)[LOSS].modes == ["eager"]


def test_a_loss_that_nobody_asked_for_may_be_broken(tmp_path):
    (tmp_path / "two.py").write_text(
        "from lossproof.reference import triplet_margin_loss\n"
        "def contrastive_loss(x1, x2, dissimilar):\n    raise RuntimeError('not yet')\n",
        encoding="utf-8",
    )
    given = ["certify", f"{tmp_path}/two.py:", "--framework", "numpy", "--check", "reductions", "--examples", "1"]
    report = ["--report", str(tmp_path / "out"), "--jobs", "1"]
    statuses = [CliRunner().invoke(main, [*given, *only, *report]).exit_code for only in ((), ("--loss", LOSS))]
    assert statuses == [2, 0]


def test_a_function_that_is_no_loss_and_answers_nothing_ends_the_run_too():
    def masks(labels, mask=None):
        raise RuntimeError("no masks")

    session = InProcess(Implementation({"triplet_masks": masks}), "numpy")
    with pytest.raises(NoPlainCall, match="triplet_masks answers no plain call: raised RuntimeError: no masks"):
        answer_to_functions(session, ["triplet_masks"])


def test_a_port_that_can_do_nothing_has_its_words_in_the_line(tmp_path):
    program = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if m['type'] == 'hello': a = {'type': 'hello', 'protocol': 1, 'name': 'port', 'dtypes': ['float64'],"
        f" 'losses': {{'{LOSS}': {{}}}}}}\n"
        "    else: a = {'type': 'answer', 'id': m['id'], 'error': {'type': 'Panic', 'message': 'index'}}\n"
        "    print(json.dumps(a), flush=True)\n"
    )
    (tmp_path / "port.py").write_text(program, encoding="utf-8")
    command = ["certify", "--command", f"{sys.executable} {tmp_path}/port.py", "--report", os.fspath(tmp_path / "out")]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, result.stderr.splitlines()) == (
        2,
        [f"lossproof: port: {LOSS} answers no plain call: raised Panic: index"],
    )
