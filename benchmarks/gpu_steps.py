"""What a card shows and a CPU does not: reading back, bandwidth, the share of the products, and coarse switches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

import lossproof.backends.torch as ours
from benchmarks import report, timing
from benchmarks.torch_rows import MINED, bounded, drawn, labelled, made, rows
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.implementation import resolve
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.host.worker import adapter_for
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan

ROUNDS = 20
SWITCHED = ("batch_hard_triplet_loss", "batch_all_triplet_loss", "circle_loss", "arcface_loss")


def nothing_is_read_back(device: str) -> dict[str, str]:
    """Return, for each loss, what stopped a forward and backward pass while synchronising was an error."""
    found = {}
    for loss, cases in losses_known().items():
        given = {name: torch.from_numpy(array).to(device) for name, array in cases.legal_inputs.items()}
        asked = [t.requires_grad_() for t in given.values() if t.is_floating_point()]
        with _synchronising("error", device):
            try:
                torch.autograd.grad(getattr(ours, loss)(**given), asked, allow_unused=True)
            except RuntimeError as problem:
                found[loss] = str(problem).splitlines()[0]
    return found


def jax_reads_nothing_back(device: str) -> dict[str, str]:
    """Return the same of JAX's losses, jitted, while bringing an array to the host is an error."""
    import jax

    import lossproof.backends.jax as ours_in_jax

    found = {}
    for loss, cases in losses_known().items():
        function, given = getattr(ours_in_jax, loss), jax.device_put(dict(cases.legal_inputs))
        rows = {name: array for name, array in given.items() if array.dtype.kind == "f"}
        step = jax.jit(jax.grad(lambda rows, f=function, rest=given: f(**{**rest, **rows})))
        try:
            with jax.transfer_guard_device_to_host("disallow"):
                jax.block_until_ready(step(rows))
        except Exception as problem:  # JAX has no type of its own for it
            found[loss] = str(problem).splitlines()[0]
    return found


@contextmanager
def _synchronising(mode: str, device: str) -> Iterator[None]:
    if device == "cpu":
        yield
        return
    torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def bandwidth(device: str, count: int = 2**20, width: int = 128) -> dict[str, float]:
    """Return bytes a second of a copy, and of triplet margin, which must read three arrays twice and write three."""
    source = torch.empty(count * width, device=device)
    target, size = torch.empty_like(source), 4 * count * width
    triple = partial(drawn, *[(count, width)] * 3)
    steps: dict[str, Callable[[], object]] = {
        "copy": lambda: (target.copy_(source), _done(device)),
        "eager": made(triple, ours.triplet_margin_loss)(),
        "compiled": made(triple, torch.compile(ours.triplet_margin_loss))(),
    }
    moved = {"copy": 2 * size, "eager": 9 * size, "compiled": 9 * size}
    return {name: moved[name] / times.median for name, times in timing.measure(steps, ROUNDS).items()}


def share_of_products(device: str, count: int = 4096) -> dict[str, float]:
    """Return which share of a mined loss's time on the device is matrix products."""
    found = {}
    for name in MINED:
        step = made(partial(labelled, count, 8), bounded(name, 8))()
        step()
        activities = [torch.profiler.ProfilerActivity.CPU]
        activities += [] if device == "cpu" else [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            step()
        on_device = "self_cpu_time_total" if device == "cpu" else "self_device_time_total"
        times = {event.key: float(getattr(event, on_device)) for event in profile.key_averages()}
        products = sum(time for key, time in times.items() if key.endswith(("mm", "bmm")) or "gemm" in key.lower())
        found[name] = products / max(sum(times.values()), 1e-9)
    return found


def coarse_switches(device: str) -> dict[str, str]:
    """Return the verdicts on losses that multiply, with TF32 off and on, and under autocast."""
    found, before = {}, torch.get_float32_matmul_precision()
    for loss in SWITCHED:
        for precision in ("highest", "high", "medium"):
            for autocast in (False, True):
                torch.set_float32_matmul_precision(precision)
                try:
                    with torch.autocast(device, torch.bfloat16, enabled=autocast):
                        found[f"{loss}, {precision}{', autocast' * autocast}"] = _verdict(loss, device)
                finally:
                    torch.set_float32_matmul_precision(before)
    return found


def _verdict(loss: str, device: str) -> str:
    known = losses_known((loss,))
    session = InProcess(resolve("torch", (loss,)), "torch", adapter_for("torch", device))
    session.hello["modes"] = ["eager"]
    judge = Judge.of(session, known, ours=True, examples=1)
    probes = [probe for probe in plan(loss, known[loss]) if probe.check in ("value", "gradient", "precision")]
    results = [judge.run(probe, CHECKS[probe.check]) for probe in probes]
    wrong = [result.probe.name for result in results if result.findings]
    return f"nonconformant: {', '.join(wrong)}" if wrong else f"conformant in {len(results)} probes"


def table(device: str, until: float) -> dict[str, Any]:
    """Return the rows of the table on the device, as many as there is time for."""
    found: dict[str, Any] = {"machine": report.machine(ROUNDS), "rows": []}
    for row in rows():
        if time.monotonic() > until:
            break
        found["rows"].append(
            report.entry(row, timing.measure({n: make() for n, make in row.steps.items()}, ROUNDS), {})
        )
    return found


def _done(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
