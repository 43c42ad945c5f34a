"""`python -m benchmarks.gpu`: what a card shows and a CPU does not, in a quarter of an hour at most.

python -m benchmarks.gpu [--device cuda] [--minutes 14] [--out FOLDER] [--only STEP ...]

What matters most comes first, and each step is on disk before the next begins: nothing is lost where the time ends.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks import gpu_steps, report

HERE = Path(__file__).parent
CERTIFICATES = {"torch": 0.35, "jax": 0.35}  # share of the time that each may take
AT_LEAST = 30.0  # seconds that a certificate is worth beginning for


def main(arguments: list[str] | None = None) -> int:
    """Take one step after the other while there is time, and write down what each has found."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="What a card shows.")
    options.add_argument("--device", default="cuda")
    options.add_argument("--minutes", type=float, default=14.0)
    options.add_argument("--out", type=Path, default=HERE / "measured" / "gpu")
    options.add_argument("--only", nargs="+", metavar="STEP", help="these steps, as they are named in what is written")
    asked = options.parse_args(arguments)
    try:
        torch.empty(0, device=asked.device)
    except (RuntimeError, AssertionError):  # the second of a build without CUDA
        print(f"torch sees no device {asked.device}", file=sys.stderr)
        return 2
    seconds, start = 60.0 * asked.minutes, time.monotonic()
    torch.set_default_device(asked.device)
    found: dict[str, Any] = {"machine": report.machine(gpu_steps.ROUNDS) | {"card": _card(asked.device)}}

    def certificate(framework: str) -> Callable[[str], Mapping[str, Any]]:
        limit = CERTIFICATES[framework] * seconds
        return lambda device: _certified(framework, device, min(limit, start + seconds - time.monotonic()), asked.out)

    steps: dict[str, Callable[[str], Mapping[str, Any]]] = {
        "read back": gpu_steps.nothing_is_read_back,
        "read back by jax": gpu_steps.jax_reads_nothing_back,
        "certificate of torch": certificate("torch"),
        "bytes a second": gpu_steps.bandwidth,
        "share of products": gpu_steps.share_of_products,
        "coarse switches": gpu_steps.coarse_switches,
        "certificate of jax": certificate("jax"),
        "table": lambda device: gpu_steps.table(device, start + seconds),
    }
    for name, step in steps.items():
        if asked.only and name not in asked.only:
            continue
        if time.monotonic() - start > seconds:
            found[name] = "no time was left"
            continue
        try:
            found[name] = step(asked.device)
        except Exception as problem:  # the others are worth having
            found[name] = f"{type(problem).__name__}: {problem}"
        _write(found, asked.out)
        print(f"{time.monotonic() - start:5.0f} s  {name}: {str(found[name])[:200]}", flush=True)
    return 0


def _card(device: str) -> str:
    return "none" if device == "cpu" else torch.cuda.get_device_name()


def _certified(framework: str, device: str, limit: float, folder: Path) -> dict[str, Any]:
    """Return verdict, counts and findings of a certificate that is left in the folder."""
    if limit < AT_LEAST:
        return {"verdict": "no time was left"}
    reports = folder / "certificates"
    command = [sys.executable, "-m", "lossproof", "certify", framework, "--device", device, "--examples", "1"]
    try:
        subprocess.run([*command, "--report", str(reports)], capture_output=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"verdict": f"not ended within {limit:.0f} s"}
    made = json.loads((reports / framework / "certificate.json").read_text(encoding="utf-8"))
    return {key: made[key] for key in ("verdict", "counts", "cases", "seconds", "worst", "findings")}


def _write(found: Mapping[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "found.json.part"
    part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / "found.json")


if __name__ == "__main__":
    sys.exit(main())
