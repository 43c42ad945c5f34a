"""The modes in which the judge asks torch: what they find, and whom they leave alone."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from audit.kills import adapter  # noqa: E402
from lossproof.backends.torch import contrastive_loss  # noqa: E402
from lossproof.conformance.checks import CHECKS  # noqa: E402
from lossproof.conformance.host.frameworks import Request, torch_modes  # noqa: E402
from lossproof.conformance.host.implementation import Implementation  # noqa: E402
from lossproof.conformance.host.inprocess import InProcess  # noqa: E402
from lossproof.conformance.judge.judge import Judge  # noqa: E402
from lossproof.conformance.plan.plan import losses_known, plan  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns of its own forward mode, and of traces
INPUTS = {
    "embeddings": (np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0], [2.0, 2.0]]), "float64"),
    "labels": (np.array([0, 0, 0, 1]), "int64"),
    "mask": (np.array([True, True, True, False]), "bool"),
}


def ask(function, mode, inputs=None, order=1):
    key = f"{mode} {function}"
    return Request(function, key, inputs or INPUTS, mode, order, np.ones(()), {}, {}, False, tuple(INPUTS))


def run(function, mode, **given):
    return torch_modes.run(ask(function, mode, **given), lambda array, dtype: torch.from_numpy(np.array(array)), {})


def weighted(embeddings, labels, mask):
    """Return a loss that every input decides: rows count as often as their label is there."""
    often = (labels[:, None] == labels).sum(1)
    return ((embeddings**2).sum(1) * often).masked_fill(~mask, 0.0).sum()


@pytest.mark.parametrize("mode", torch_modes.MODES)
def test_a_right_loss_gets_the_value_and_gradient_of_the_plain_call(mode):
    value, (gradient,) = run(weighted, mode)
    rows = INPUTS["embeddings"][0]
    assert value.item() == 3 * (rows[:3] ** 2).sum()
    assert np.array_equal(gradient.detach(), 6 * rows * [[1], [1], [1], [0]])


@pytest.mark.parametrize("mode", ["captured", "compiled"])
def test_a_mask_that_is_forgotten_in_compiled_code_is_seen(mode):
    """No code is written for `captured`, but torch is capturing a graph, and code can know that."""

    def forgetful(embeddings, labels, mask):
        return weighted(embeddings, labels, torch.ones_like(mask) if torch.compiler.is_compiling() else mask)

    values = {name: adapter("torch").run(ask(forgetful, name))["value"][0] for name in (mode, "eager")}
    assert values[mode] > values["eager"]
    right = {name: adapter("torch").run(ask(weighted, name)) for name in (mode, "eager")}
    assert right[mode]["value"][0] == right["eager"]["value"][0]
    gradients = [found["gradients"]["embeddings"][0] for found in right.values()]
    assert np.array_equal(*gradients)


def test_other_calls_have_other_numbers_labels_that_fall_otherwise_and_stay_legal():
    first, last = torch_modes.others(ask(weighted, "stacked"))
    assert [other["labels"][0].tolist() for other in (first, last)] == [[0, 1, 0, 1], [0, 0, 0, 0]]
    assert not any(np.array_equal(other["embeddings"][0], INPUTS["embeddings"][0]) for other in (first, last))
    assert first["mask"][0].tolist() == [False, True, True, True]
    assert len(next(torch_modes.others(ask(weighted, "unknown_batch"), 11))["labels"][0]) == 11


def frozen(embeddings, labels, mask):
    """Return a loss that reads how often the most frequent label is there."""
    return weighted(embeddings, labels, mask) * int(torch.bincount(labels).max())


def silent(embeddings, labels, mask):
    """Return the same, with no warning seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return frozen(embeddings, labels, mask)


def test_a_trace_of_which_torch_warned_is_unsupported_and_a_silent_one_is_wrong():
    assert "torch.jit.trace warned" in run(frozen, "traced")
    assert run(silent, "traced")[0].item() != frozen(**_tensors()).item()


def test_a_trace_that_rounds_a_number_over_a_size_is_unsupported():
    assert "float32" in run(lambda embeddings, **_: (embeddings * (0.1 / embeddings.shape[1])).sum(), "traced")


def _tensors():
    return {name: torch.from_numpy(array) for name, (array, _) in INPUTS.items()}


@pytest.mark.parametrize("mode", ["stacked", "unknown_batch"])
def test_what_a_transform_refuses_is_unsupported(mode):
    assert run(frozen, mode).startswith(f"mode {mode}: ")


def test_what_a_strict_switch_stops_is_an_error():
    with pytest.raises(RuntimeError, match="put"):
        run(lambda embeddings, labels, mask: embeddings.put(labels, embeddings[:, 0]).sum(), "strict")


@pytest.mark.parametrize("mode", torch_modes.MODES)
def test_what_the_plain_call_refuses_is_an_error(mode):
    def refusing(**given):
        raise ValueError("embeddings must be otherwise")

    with pytest.raises(ValueError, match="otherwise"):
        run(refusing, mode)


def test_strict_switches_are_set_back():
    run(weighted, "strict")
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.is_anomaly_enabled()


@pytest.mark.parametrize("mode", torch_modes.MODES)
def test_a_value_alone_is_found_too(mode):
    assert run(weighted, mode, order=0)[0].item() == run(weighted, mode)[0].item()


@pytest.mark.parametrize("ours", [False, True])
def test_an_error_under_a_strict_switch_is_advice_to_others_and_a_fault_of_ours(ours):
    loss, known = "contrastive_loss", losses_known()

    def function(**given):
        if torch.are_deterministic_algorithms_enabled():
            raise RuntimeError("no deterministic implementation")
        return contrastive_loss(**given)

    session = InProcess(Implementation({loss: function}), "torch")
    judge = Judge.of(session, known, ours=ours, examples=2)
    probe = next(probe for probe in plan(loss, known[loss]) if probe.clause == "CV-36")
    result = judge.run(probe, CHECKS[probe.check])
    assert ([one.id for one in result.findings], [one.id for one in result.advice]) == (
        (["CV-36"], []) if ours else ([], ["CV-36"])
    )


def test_to_refuse_arrays_that_have_changed_is_no_failure():
    """What torch saves for the backward pass it watches."""
    flags, rows = np.array([True, False, True, False]), np.array([[1.0], [2.0], [3.0], [4.0]])
    inputs = {"rows": (rows, "float64"), "flags": (flags, "bool")}
    value, (gradient,) = run(
        lambda rows, flags: torch.where(flags, rows[:, 0] ** 2, rows[:, 0]).sum(), "reused", inputs=inputs
    )
    assert value.item() == 1 + 2 + 9 + 4
    assert gradient[:, 0].tolist() == [2.0, 1.0, 6.0, 1.0]
