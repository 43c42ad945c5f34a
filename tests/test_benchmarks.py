"""The benchmarks run, and write what they measured; no time is a test."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.report import exponents
from benchmarks.rows import OURS, Row, chosen
from benchmarks.timing import Times, measure

ROOT = Path(__file__).parents[1]


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


def test_a_quick_run_writes_every_row_that_was_asked_for(tmp_path):
    found = run("--quick", "--out", str(tmp_path), "torch-eager/256x128", "batch_all/torch-growth/256")
    assert found.returncode == 0, found.stderr
    rows = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["rows"]
    assert [row["name"] for row in rows] == ["triplet_margin/torch-eager/256x128", "batch_all/torch-growth/256of8x128"]
    assert all(row["milliseconds"][OURS][1] > 0 and row["ratio"] > 0 for row in rows)
    assert (tmp_path / "TABLE.md").read_text(encoding="utf-8").count("\n| ") == 3


def test_a_pattern_that_no_row_has_is_said():
    found = run("--quick", "no_such_loss")
    assert (found.returncode, "no_such_loss" in found.stderr) == (2, True)


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds():
    assert Times([1.0, 4.0, 9.0]).ratio(Times([1.0, 2.0, 3.0])) == 2.0


def test_every_step_runs_once_a_round():
    calls = []
    found = measure({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=5)
    assert all(len(times.seconds) == 5 for times in found.values())
    assert calls.count("a") == calls.count("b") == 8


def test_a_square_has_the_exponent_2():
    entries = [
        {"loss": "l", "rows": n, "milliseconds": {OURS: [0.0, float(n * n), 0.0]}, "peak MiB": {}} for n in (2, 4, 8)
    ]
    assert abs(exponents(entries)["l"][0] - 2.0) < 1e-9


def test_rows_are_chosen_by_a_part_of_their_name():
    rows = [Row("a", "torch eager", "4 × 2", {}), Row("b", "jax jit", "8 / 4 × 2", {})]
    assert [row.name for row in chosen(rows, ["jit/8of4x2"])] == ["b/jax-jit/8of4x2"]
    assert chosen(rows, []) == rows


def test_peak_memory_is_that_of_the_step_and_not_of_what_went_before():
    code = """
import numpy as np
from benchmarks import memory
left_over = np.ones(2**24)  # 128 MiB, gone before the step
del left_over
before = memory._now()
step = np.ones(2**22)  # 32 MiB
print(memory._highest() - before)
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 31 < float(found.stdout) < 64


def test_what_a_card_is_asked_is_on_disk(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--out", str(tmp_path)]
    command += ["--only", "read back", "read back by jax"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["read back"] == {}
    assert found["read back by jax"] == {}


def test_a_card_that_is_not_there_is_said():
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cuda:99", "--minutes", "0"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert (run.returncode, "torch sees no device cuda:99" in run.stderr) == (2, True)
