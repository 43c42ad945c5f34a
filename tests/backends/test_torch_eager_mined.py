"""Batch all and semi-hard in a plain call of torch: few passes over the distances give what the formula gives."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ours = pytest.importorskip("lossproof.backends.torch")
gram = pytest.importorskip("lossproof.backends.torch.gram")

LOSSES = {"batch_all": ours.batch_all_triplet_loss, "semi_hard": ours.semi_hard_triplet_loss}
MODULES = {name: pytest.importorskip(f"lossproof.backends.torch.{name}") for name in LOSSES}
DISTANCES = ["euclidean", "squared_euclidean"]
every_loss = pytest.mark.parametrize("name", LOSSES)
every_distance = pytest.mark.parametrize("distance", DISTANCES)


def drawn(count, width, each, seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.standard_normal((count, width))), torch.tensor(rng.permutation(count) % (count // each))


def duplicates():
    rows, labels = drawn(40, 5, 4)
    return rows[torch.arange(40) // 2], labels


def collapsed():
    rows, labels = drawn(32, 6, 4)
    return 1e-6 * rows + drawn(8, 6, 1, seed=1)[0][labels], labels


def far():
    rows, labels = drawn(36, 4, 6)
    return rows + 4096.0 * (labels % 2).unsqueeze(1), labels


def uneven():
    rows, _ = drawn(50, 3, 1)
    return rows, torch.tensor([0] * 30 + [1] * 12 + [2] * 2 + list(range(3, 9)))


BATCHES = {
    "random": lambda: drawn(60, 8, 5),
    "grid": lambda: (torch.tensor(np.random.default_rng(2).integers(-2, 3, (48, 2)) / 4.0), drawn(48, 1, 4)[1]),
    "duplicates": duplicates,
    "collapsed": collapsed,
    "far": far,
    "uneven": uneven,
    "few": lambda: drawn(4, 3, 2),
    "negative at 0": lambda: (torch.tensor([[5.0], [0.0], [0.0]], dtype=torch.float64), torch.tensor([0, 0, 1])),
    "one identity": lambda: (drawn(9, 3, 1)[0], torch.zeros(9, dtype=torch.long)),
    "strangers": lambda: (drawn(9, 3, 1)[0], torch.arange(9)),
}


def derived(loss, rows, labels, **options):
    """Return the value of a loss and its gradient by a cotangent of unlike numbers."""
    rows = rows.clone().requires_grad_()
    value = loss(rows, labels, **options)
    cotangent = torch.linspace(0.5, 2.0, value.numel(), dtype=value.dtype).reshape(value.shape)
    return value.detach(), *torch.autograd.grad(value, rows, cotangent)


@pytest.fixture
def formula(monkeypatch):
    """Return what calls a loss by its formula."""

    def called(function, *given, **options):
        with monkeypatch.context() as patch:
            for module in MODULES.values():
                patch.setattr(module, "gram", lambda *_: None)
            return function(*given, **options)

    return called


def ways(name, monkeypatch):
    """Return a list that grows by one with each call, by whether it takes the few passes."""
    taken, known = [], gram.gram

    def seen(*given):
        found = known(*given)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(MODULES[name], "gram", seen)
    return taken


@every_loss
@every_distance
@pytest.mark.parametrize("batch", BATCHES)
def test_few_passes_are_the_formula(name, distance, batch, formula, monkeypatch):
    rows, labels = BATCHES[batch]()
    taken = ways(name, monkeypatch)
    for reduction, masked, weighed in itertools.product(
        ["none", "sum", "mean", "mean_nonzero"], [False, True], [False, True]
    ):
        mask = torch.arange(len(rows)) % 5 != 1 if masked else None
        weights = (torch.arange(len(rows)) % 4).to(rows.dtype) if weighed else None
        options = {"margin": 0.5, "distance": distance, "reduction": reduction, "mask": mask, "weights": weights}
        found = derived(LOSSES[name], rows, labels, **options)
        torch.testing.assert_close(found, formula(derived, LOSSES[name], rows, labels, **options), rtol=1e-6, atol=1e-6)
    assert taken == [True] * 16


@every_loss
@every_distance
@pytest.mark.parametrize("batch", ["random", "grid", "uneven"])
def test_float32_is_float64_within_its_rounding(name, distance, batch):
    rows, labels = BATCHES[batch]()
    rows = rows.float()
    options = {"margin": 0.5, "distance": distance, "reduction": "mean"}
    narrow, wide = (derived(LOSSES[name], x, labels, **options) for x in (rows, rows.double()))
    size = 1 + rows.abs().max().item() ** (2 if distance == "squared_euclidean" else 1)
    torch.testing.assert_close([x.double() for x in narrow], [*wide], rtol=1e-5, atol=3e-6 * size)


@every_loss
@every_distance
def test_many_blocks_are_one(name, distance, monkeypatch):
    rows, labels = BATCHES["random"]()
    whole = derived(LOSSES[name], rows, labels, distance=distance, reduction="none")
    monkeypatch.setattr(gram, "_BLOCK", 7 * len(rows))
    parts = derived(LOSSES[name], rows, labels, distance=distance, reduction="none")
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)


@every_loss
def test_rows_that_coincide_with_their_positives_have_no_gradient(name):
    rows, labels = drawn(8, 7, 1)[0].float()[torch.arange(32) % 8] / 3, torch.arange(32) % 8
    _, gradient = derived(LOSSES[name], rows, labels, margin=1e-3, distance="euclidean", reduction="sum")
    assert not gradient.any()  # DI-15: no negative is within the margin


@every_loss
@every_distance
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_second_derivatives_are_those_of_the_formula(name, distance, reduction, formula):
    rows, labels = drawn(20, 3, 4)
    direction = drawn(20, 3, 1, seed=3)[0]

    def twice(scale):
        x = rows.clone().requires_grad_()
        s = torch.tensor(scale, requires_grad=True)
        value = s * LOSSES[name](x, labels, margin=0.7, distance=distance, reduction=reduction).square().sum()
        (gradient,) = torch.autograd.grad(value, x, create_graph=True)
        return gradient.detach(), *torch.autograd.grad((gradient * direction).sum(), (x, s))

    torch.testing.assert_close(twice(1.5), formula(twice, 1.5), rtol=1e-7, atol=1e-9)


@every_loss
def test_second_derivatives_are_differences_of_gradients(name):
    rows, labels = drawn(12, 3, 4)
    assert torch.autograd.gradgradcheck(
        lambda x: LOSSES[name](x, labels, distance="euclidean"), rows.clone().requires_grad_(), atol=1e-4
    )


@every_loss
@every_distance
@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_a_stack_of_cotangents_is_one_at_a_time(name, distance, again):
    rows, labels = drawn(12, 3, 3)
    rows.requires_grad_()
    value = LOSSES[name](rows, labels, margin=0.7, distance=distance, reduction="none")
    cotangents = drawn(5 * value.numel(), 1, 1)[0].reshape(5, *value.shape)
    options = {"retain_graph": True, "create_graph": again}
    (stack,) = torch.autograd.grad(value, rows, cotangents, is_grads_batched=True, **options)
    each = [torch.autograd.grad(value, rows, one, **options)[0] for one in cotangents]
    torch.testing.assert_close(stack, torch.stack(each), rtol=1e-9, atol=1e-9)


@every_loss
@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_ambient_switches_change_nothing(name, precision):
    rows, labels = (x.float() if x.is_floating_point() else x for x in BATCHES["random"]())
    want = derived(LOSSES[name], rows, labels, reduction="none")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = derived(LOSSES[name], rows, labels, reduction="none")
    finally:
        torch.set_float32_matmul_precision(before)
    torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-5)


def not_plain():
    rows, labels = BATCHES["random"]()
    nan = rows.clone()
    nan[3] = torch.nan
    yield "NaN", nan, labels, {}
    yield "huge", 1e80 * rows, labels, {}
    yield "tiny", 1e-80 * rows, labels, {}
    yield "one point", rows * 0 + 1, labels, {}
    yield "cosine", rows, labels, {"distance": "cosine"}
    yield "direct", rows, labels, {"pairwise": "direct"}
    yield "second set", rows, labels, {"candidates": nan, "candidate_labels": labels}
    yield "most alike", drawn(150, 2, 1)[0], torch.arange(150) // 140, {}


@every_loss
@pytest.mark.parametrize("case", [*not_plain()], ids=lambda case: case[0])
def test_what_is_not_plain_is_for_the_formula(name, case, monkeypatch):
    _, rows, labels, options = case
    taken = ways(name, monkeypatch)
    derived(LOSSES[name], rows, labels, **options)
    assert taken == [False]


@every_loss
@pytest.mark.filterwarnings("ignore")  # what torch says of its own modules
def test_forward_mode_and_transforms_take_the_formula(name, monkeypatch):
    rows, labels = drawn(8, 3, 2)
    taken = ways(name, monkeypatch)
    torch.func.jvp(lambda x: LOSSES[name](x, labels), (rows,), (rows,))
    torch.func.grad(lambda x: LOSSES[name](x, labels))(rows)
    assert taken == [False, False]


def test_a_margin_may_ask_for_its_gradient(formula):
    rows, labels = BATCHES["random"]()

    def asked(loss):
        margin = torch.tensor(0.4, requires_grad=True)
        return torch.autograd.grad(loss(rows, labels, margin=margin, reduction="mean_nonzero"), margin)

    for loss in LOSSES.values():
        torch.testing.assert_close(asked(loss), formula(asked, loss))


@pytest.mark.parametrize("batch", BATCHES)
def test_the_fraction_is_that_of_the_formula(batch, formula):
    rows, labels = BATCHES[batch]()
    mask = torch.arange(len(rows)) % 5 != 1
    fraction = ours.batch_all_active_fraction
    for options in ({}, {"mask": mask}):
        assert fraction(rows, labels, **options) == formula(fraction, rows, labels, **options)


@every_loss
def test_an_inference_tensor_has_a_value(name):
    with torch.inference_mode():
        rows, labels = drawn(8, 3, 2)
        inferred = LOSSES[name](rows, labels)
    torch.testing.assert_close(inferred.clone(), LOSSES[name](*drawn(8, 3, 2)))


def test_no_row_is_written_over():
    rows, labels = BATCHES["random"]()
    before = rows.clone()
    for loss in LOSSES.values():
        loss(rows, labels)
    assert torch.equal(rows, before)
