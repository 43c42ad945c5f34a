"""The command line: what each exit status means, what is on disk, and that the same seed asks the same."""

import json
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from lossproof.conformance import command
from lossproof.conformance.__main__ import main as entry
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.command import main
from lossproof.conformance.host.implementation import resolve
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan
from lossproof.spec import clauses, losses, page, page_names

LOSS = "triplet_margin_loss"

# Right but for its sums, which are twice as large.
BROKEN = """
from lossproof.reference import triplet_margin_loss as reference

def triplet_margin_loss(anchor, positive, negative, *, margin=1.0, p=2.0, eps=1e-6, reduction="mean", cotangent=None):
    options = dict(margin=margin, p=p, eps=eps, reduction=reduction, cotangent=cotangent)
    found = reference(anchor, positive, negative, **options)
    if reduction != "sum":
        return found
    return 2 * found if cotangent is None else (2 * found[0], {name: 2 * g for name, g in found[1].items()})
"""
SUMS = ["--framework", "numpy", "--check", "reductions", "--examples", "2"]


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text(BROKEN, encoding="utf-8")
    return f"{path}:triplet_margin_loss"


def declared(tmp_path, *findings, loss=LOSS):
    path = tmp_path / "known.toml"
    entries = [f'[[failure]]\nloss = "{loss}"\nfinding = "{finding}"\nreason = "known"\n' for finding in findings]
    path.write_text("\n".join(entries), encoding="utf-8")
    return ["--known-failures", str(path)]


def certify(tmp_path, *arguments, **of_process):
    """Run the command in a process of its own, as a shell does."""
    command = [sys.executable, "-m", "lossproof.conformance", "certify", *arguments, "--report", str(tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, **of_process)
    assert "Traceback" not in run.stderr, run.stderr
    return run


def refused(tmp_path, *arguments):
    """Return the exit status and the lines on standard error of a command that has nothing to judge."""
    result = CliRunner().invoke(main, ["certify", *arguments, "--report", str(tmp_path / "out")])
    return result.exit_code, result.stderr.splitlines()


# Exit status


def test_a_fault_of_the_judge_ends_with_2_and_says_whose_it_is(monkeypatch, capsys):
    monkeypatch.setattr(command, "certify", lambda *_: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["lossproof", "certify", "numpy"])
    with pytest.raises(SystemExit) as ended:
        entry()
    said = capsys.readouterr().err
    assert (ended.value.code, "ZeroDivisionError" in said, "a fault of the judge" in said) == (2, True, True)


def test_a_finding_of_any_job_is_on_disk_and_in_the_exit_status(broken, tmp_path):
    run = certify(tmp_path, broken, *SUMS, "--jobs", "2")
    assert run.returncode == 1
    (folder,) = (tmp_path / "out").glob("*--check-reductions")
    log = [json.loads(line) for line in (folder / "probes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert "CV-2" in {finding for probe in log for finding in probe["findings"]}
    assert "CV-2: " in (folder / "junit.xml").read_text(encoding="utf-8")


def test_no_job_is_no_number_of_jobs(tmp_path):
    assert refused(tmp_path, "numpy", "--jobs", "0")[0] == 2


def test_status_0_for_the_reference(tmp_path):
    assert certify(tmp_path, "numpy", "--check", "examples", "--examples", "2").returncode == 0


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_tests_of_the_folder_that_a_run_starts_in_have_no_part_in_it(tmp_path, jobs):
    for path in (tmp_path / "conftest.py", tmp_path / "tests" / "conftest.py"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise RuntimeError('of another project')", encoding="utf-8")
    run = certify(tmp_path, "numpy", "--check", "examples", "--examples", "2", "--jobs", jobs, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_options_for_pytest_of_whoever_runs_it_are_not_for_the_judge(broken, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing_of_this_name")
    assert certify(tmp_path, broken, *SUMS).returncode == 1


def test_status_1_for_a_broken_implementation(tmp_path, broken):
    assert certify(tmp_path, broken, *SUMS).returncode == 1


def test_status_0_where_every_finding_is_declared(tmp_path, broken):
    assert certify(tmp_path, broken, *SUMS, *declared(tmp_path, "CV-2")).returncode == 0


def test_status_1_where_a_finding_is_not_declared(tmp_path, broken):
    assert certify(tmp_path, broken, *SUMS, *declared(tmp_path, "CV-28/p nan")).returncode == 1


def test_status_1_where_a_declared_finding_is_of_another_label(tmp_path, broken):
    assert certify(tmp_path, broken, *SUMS, *declared(tmp_path, "CV-2/no rows")).returncode == 1


def test_status_1_where_a_declared_failure_does_not_fail_any_more(tmp_path, broken):
    assert certify(tmp_path, broken, *SUMS, *declared(tmp_path, "CV-2", "CV-3")).returncode == 1


def test_a_stale_entry_is_named(tmp_path, broken):
    assert "stale CV-3" in certify(tmp_path, broken, *SUMS, *declared(tmp_path, "CV-2", "CV-3")).stdout


def test_a_declared_failure_whose_probes_were_not_run_is_not_stale(tmp_path, broken):
    assert certify(tmp_path, broken, *SUMS, *declared(tmp_path, "CV-2", "TM-9")).returncode == 0


def test_status_1_where_one_of_two_targets_is_broken(tmp_path, broken):
    assert certify(tmp_path, "lossproof.reference:", broken, *SUMS).returncode == 1


def test_a_run_does_not_read_the_pytest_configuration_of_the_folder_it_stands_in(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n", encoding="utf-8")
    command = [sys.executable, "-m", "lossproof.conformance", "certify", "numpy", "--check", "examples"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=600).returncode == 0


def test_with_markdown_that_is_all_of_standard_output_and_the_findings_are_written_for_the_next_run(tmp_path, broken):
    known, own = tmp_path / "known.toml", [broken, *SUMS, "--gate", "value"]
    run = certify(tmp_path, *own, "--format", "markdown", "--write-known-failures", str(known))
    title, *_, gate = run.stdout.strip().split("\n")
    assert (run.returncode, title, gate) == (1, f"<h3>❌ <code>{broken}</code></h3>", "gate value: failed")
    assert f"{known}: 1 entry, 1 new; 1 without a reason" in run.stderr
    refusal = f"lossproof: {known}: entry 'CV-2' of {LOSS} has no reason: fill it in"
    assert refused(tmp_path, *own, "--known-failures", str(known)) == (2, [refusal])
    known.write_text(known.read_text(encoding="utf-8").replace('reason = ""', 'reason = "x"'), encoding="utf-8")
    assert certify(tmp_path, *own, "--known-failures", str(known)).returncode == 0


# Status 2, and the one line


REFUSED = [
    ([], "name one or more targets, or a --command"),
    (["numpy", "--command", "node port.mjs"], "name one or more targets, or a --command"),
    (["lossproof.reference:"], "which framework? give --framework"),
    (["no.such.module:loss", "--framework", "numpy"], "No module named 'no'"),
    (["lossproof.reference:no_such_loss", "--framework", "numpy"], "no_such_loss"),
    (["lossproof.reference:contrastive_los", "--framework", "numpy"], "did you mean 'contrastive_loss'"),
    (["no_such_file.py:loss", "--framework", "numpy"], "no such file: no_such_file.py"),
    (["no_such_file.py", "--framework", "numpy"], "no such file: no_such_file.py"),
    (["math:sqrt", "--framework", "numpi"], "must be one of torch, tensorflow, jax, numpy, or module:class; did you"),
    (["math:sqrt", "--framework", "no_such_file.py:Own"], "no such file: no_such_file.py"),
    (["nonsense", "--framework", "numpy"], "'nonsense' is no target"),
    (["math:", "--framework", "numpy"], f"nothing in it is a loss of the spec ({', '.join(losses())})"),
    (["math:sqrt", "--framework", "numpy"], f"nothing in it is a loss of the spec ({', '.join(losses())})"),
    (["numpy", "--loss", "quadruplet_loss"], f"no loss 'quadruplet_loss'; the spec has {', '.join(losses())}"),
    (["numpy", "--check", "vibes"], "no check 'vibes'; there are examples, value"),
    (["numpy", "--device", "cuda"], "numpy has no device but cpu"),
    (["numpy", "--known-failures", "no_such_file.toml"], "cannot read no_such_file.toml"),
    (["numpy", "jax", "--write-known-failures", "new.toml"], "a file is about one target, got 2"),
    (["numpy", "--write-known-failures", f"{__file__}/new.toml"], "test_command.py is no folder that can be written"),
    (["numpy", "--format", "html"], "--format 'html' must be one of text, markdown"),
    (["--command", "no-such-program-anywhere"], "cannot start no-such-program-anywhere"),
    (["--command", "node 'port.mjs"], "node 'port.mjs"),
    (["--command", " "], "--command"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=[" ".join(a) or "nothing" for a, _ in REFUSED])
def test_status_2_and_one_line_that_says_why(tmp_path, arguments, words):
    status, lines = refused(tmp_path, *arguments)
    assert (status, len(lines), words in " ".join(lines)) == (2, 1, True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"[[failure]", "cannot read", id="no TOML"),
        pytest.param(b"\xff\xfe", "cannot read", id="no UTF-8"),
        pytest.param(b"failure = 3", "failure", id="no tables"),
        pytest.param(b"[[failures]]\nfinding = 'TM-1'", "failures", id="another name for the tables"),
        pytest.param(b"[[failure]]\nloss = 'triplet_margin_loss'\nfinding = 'TM-1'", "no ['reason']", id="no reason"),
        pytest.param(
            b"[[failure]]\nloss = 'triplet_margin_loss'\nfinding = 'TM-1'\nreason = 'x'\nsince = '2'",
            "unknown ['since']",
            id="unknown field",
        ),
        pytest.param(
            b"[[failure]]\nloss = 'triplet_margin_loss'\nfinding = 'XX-9/a'\nreason = 'x'",
            "'XX-9/a' names no clause of the spec",
            id="no clause",
        ),
        pytest.param(
            b"[[failure]]\nloss = 'triplet_margin_loss'\nfinding = 1\nreason = 'x'",
            "finding",
            id="a number for a finding",
        ),
        pytest.param(b"[[failure]]\nloss = 'nothing'\nfinding = 'TM-1'\nreason = 'x'", "'nothing'", id="no loss"),
    ],
)
def test_status_2_and_one_line_for_known_failures_that_can_not_be_used(tmp_path, content, words):
    path = tmp_path / "known.toml"
    path.write_bytes(content)
    status, lines = refused(tmp_path, "numpy", "--known-failures", str(path), "--check", "errors", "--examples", "1")
    assert (status, len(lines), words in " ".join(lines)) == (2, 1, True)


def test_an_import_error_of_several_lines_is_one_line(tmp_path):
    path = tmp_path / "tool.py"
    path.write_text("raise ValueError('one\\ntwo')", encoding="utf-8")
    status, lines = refused(tmp_path, f"{path}:loss", "--framework", "numpy")
    assert (status, len(lines)) == (2, 1)


def test_status_2_for_a_card_that_is_not_there(tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    status, lines = refused(tmp_path, "torch", "--device", "cuda")
    assert (status, len(lines), "cuda" in lines[0]) == (2, 1, True)


def test_status_2_where_nothing_that_was_asked_is_offered(tmp_path, broken):
    assert certify(tmp_path, broken, "--framework", "numpy", "--check", "second_order").returncode == 2


@pytest.mark.parametrize("name", ["[/a]", "[bold]a"])
def test_square_brackets_in_a_target_are_no_markup(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / "broken.py").write_text(BROKEN, encoding="utf-8")
    assert certify(tmp_path, f"{folder}/broken.py:triplet_margin_loss", *SUMS).returncode == 1


def test_square_brackets_in_the_report_folder_are_no_markup(tmp_path):
    assert certify(tmp_path / "[/x]", "numpy", "--check", "examples").returncode == 0


def test_a_command_longer_than_a_file_name_is_judged(tmp_path):
    command = f"{sys.executable} -c {'x' * 300!r}"
    status, lines = refused(tmp_path, "--command", command)
    assert (status, len(lines), "crashed" in lines[0]) == (2, 1, True)


# spec


def spec(*arguments):
    return CliRunner().invoke(main, ["spec", *arguments])


def test_spec_lists_every_page_with_its_clauses():
    lines = spec().output.splitlines()
    assert lines == [f"{name}: {', '.join(page(name).clauses)}" for name in page_names()]


def test_spec_prints_a_page():
    assert spec("triplet_margin").output.rstrip("\n") == page("triplet_margin").text.rstrip("\n")


@pytest.mark.parametrize("name", ["TM-4", "tm-4"])
def test_spec_prints_a_clause(name):
    assert clauses()["TM-4"].text in spec(name).output


def test_spec_prints_the_level_and_the_kind_of_a_clause():
    clause = clauses()["TM-4"]
    assert spec("TM-4").output.startswith(f"TM-4 · {clause.level} · {clause.kind} · {clause.title}")


def test_spec_of_an_unknown_name_is_status_2_and_one_line():
    result = spec("TM-999")
    assert (result.exit_code, result.stderr.count("\n"), "'TM-999'" in result.stderr) == (2, 1, True)


# The log


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_was_judged_is_on_disk_when_the_run_is_killed(tmp_path, jobs):
    command = [sys.executable, "-m", "lossproof.conformance", "certify", "numpy", "--examples", "1000", "--loss", LOSS]
    command += ["--jobs", jobs]
    log = tmp_path / "out" / f"numpy--{LOSS}" / "probes.jsonl"
    run = subprocess.Popen(
        [*command, "--report", str(tmp_path / "out")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not log.is_file() or log.read_bytes().count(b"\n") < 5):
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    planned = [probe.name for probe in plan(LOSS, losses_known()[LOSS])]
    names = [entry["name"] for entry in entries]
    assert len(names) >= 5
    assert names == planned[: len(names)] if jobs == "1" else set(names) <= set(planned)


def test_a_log_has_one_line_a_probe_of_the_certificate(tmp_path):
    certify(tmp_path, "numpy", "--check", "examples", "--examples", "1")
    folder = tmp_path / "out" / "numpy--check-examples"
    log = (folder / "probes.jsonl").read_text(encoding="utf-8").splitlines()
    certificate = json.loads((folder / "certificate.json").read_text(encoding="utf-8"))
    by_name = {probe["name"]: probe for probe in map(json.loads, log)}  # the log is in the order of the verdicts
    assert len(log) == len(by_name)
    assert [by_name[probe["name"]] for probe in certificate["probes"]] == certificate["probes"]
    assert len(by_name) == len(certificate["probes"])


# Seeds


class Recorded(InProcess):
    """A session that keeps what it was asked."""

    def __init__(self, target):
        super().__init__(resolve(target, (LOSS,)), "numpy")
        self.asked = []

    def ask(self, case):
        self.asked.append(json.dumps(case.message(0), sort_keys=True))
        return super().ask(case)


def run(target, seed):
    """Return the session, and the results without their times, of a short run in this process."""
    session, known = Recorded(target), losses_known()
    judge = Judge.of(session, known, ours=False, seed=seed, examples=2)
    checks = ("value", "reductions", "masking", "nan", "invariances", "precision")
    results = [judge.run(p, CHECKS[p.check]) for p in plan(LOSS, known[LOSS]) if p.check in checks]
    shown = [(r.probe.name, r.verdict, r.worst, r.run, r.reason, [str(f) for f in r.findings]) for r in results]
    return session, shown


@pytest.fixture(scope="module")
def twice():
    return run("lossproof.reference:", 7), run("lossproof.reference:", 7)


def test_the_same_seed_asks_the_same_cases(twice):
    (first, _), (second, _) = twice
    assert first.asked == second.asked


def test_the_same_seed_has_the_same_verdicts_and_worst_shares(twice):
    (_, first), (_, second) = twice
    assert first == second


def test_the_same_seed_has_the_same_findings(broken):
    assert run(broken, 7)[1] == run(broken, 7)[1]


def test_another_seed_asks_other_cases(twice):
    other, _ = run("lossproof.reference:", 8)
    assert len(set(other.asked) & set(twice[0][0].asked)) < len(set(other.asked)) / 10


def test_two_processes_with_the_same_seed_agree_however_they_share_the_work(tmp_path):
    def worst(folder, jobs):
        certify(tmp_path / folder, "numpy", "--check", "value", "--examples", "1", "--seed", "3", "--jobs", jobs)
        path = tmp_path / folder / "out" / "numpy--check-value" / "certificate.json"
        certificate = json.loads(path.read_text(encoding="utf-8"))
        probes = [{**probe, "seconds": 0} for probe in certificate["probes"]]
        return certificate["worst"], certificate["cases"], probes

    first = worst("first", "1")
    assert worst("second", "1") == first
    assert worst("shared", "3") == first
