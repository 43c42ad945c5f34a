"""Every loss through each transform of torch, against the reference: vmap, forward mode, traces, export, switches."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import lossproof.backends.torch as backend  # noqa: E402
import lossproof.reference as reference  # noqa: E402
from lossproof.spec import losses  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning"
)

CLASSES = 4
OPTIONS = {  # loss -> the options it is called with here; what none of them shows, the suite asks
    "triplet_margin_loss": [{"swap": True}, {"p": 3.0}, {"distance": "cosine"}, {"soft_margin": True, "swap": True}],
    "contrastive_loss": [{}, {"distance": "cosine"}],
    "batch_hard_triplet_loss": [{}, {"soft_margin": True, "distance": "cosine"}],
    "batch_all_triplet_loss": [{}, {"pairwise": "direct", "reduction": "mean_nonzero"}, {"max_positives": 6}],
    "semi_hard_triplet_loss": [
        {},
        {"pairwise": "direct", "distance": "euclidean"},
        {"max_positives": 6},
        {"soft_margin": True, "distance": "cosine"},
    ],
    "center_loss": [{}],
    "oim_loss": [{}, {"temperature": 0.5}],
    "circle_loss": [{"gamma": 4.0}, {"gamma": 4.0, "reduction": "mean_nonzero"}],
    "arcface_loss": [{"scale": 4.0}, {"scale": 4.0, "beyond_pi": "linear"}],
    "cosface_loss": [{"scale": 4.0}],
    "cross_entropy_loss": [{}, {"label_smoothing": 0.1}],
    "soft_cross_entropy_loss": [{}, {"label_smoothing": 0.1}],
    "joint_loss": [{}],
}
CASES = [(name, options) for name, several in OPTIONS.items() for options in several]
every_case = pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}-{o}" for n, o in CASES])
every_loss = pytest.mark.parametrize(("name", "options"), [(n, o[0]) for n, o in OPTIONS.items()], ids=list(OPTIONS))


def draw(name, count, seed=0, dtype="float64"):
    """Return inputs of a loss by name: rows of the batch, labels, tables and a mask that leaves one row out."""
    rng = np.random.default_rng(seed)
    found = {}
    for key, entry in losses()[name].inputs.items():
        if "M" in entry["shape"].split() or key == "candidate_index":
            continue  # a second set has tests of its own
        if key == "labels":
            found[key] = rng.integers(0, CLASSES, count)
        elif entry["kind"] == "bool":
            found[key] = rng.random(count) < (0.8 if key == "mask" else 0.5)
        else:
            lengths = {"C": CLASSES, "K": CLASSES, "D": 3, "Q": 2, "...": count, "B": count}
            found[key] = rng.standard_normal([lengths[axis] for axis in entry["shape"].split()]).astype(dtype)
            if "range" in entry:  # of targets
                found[key] = np.maximum(found[key], 0.0)
            if entry["kind"] == "weight":
                found[key] = np.abs(found[key])
    return found


def split(name, inputs):
    """Return the inputs that a loss is differentiated with respect to, and the others."""
    wanted = [n for n, entry in losses()[name].inputs.items() if entry.get("differentiable")]
    return {n: inputs[n] for n in wanted if n in inputs}, {n: a for n, a in inputs.items() if n not in wanted}


def want(name, inputs, options):
    """Return value and gradients of the reference."""
    size = getattr(reference, name)(**inputs, **options)
    return getattr(reference, name)(**inputs, **options, cotangent=np.ones_like(size))


def tensors(arrays):
    return {n: torch.from_numpy(np.array(a)) for n, a in arrays.items()}


def called(name, options):
    """Return the loss as a function of the differentiable inputs by name and the others by name."""
    return lambda rows, rest: getattr(backend, name)(**rows, **rest, **options)


def close(got, wanted):
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-9, atol=1e-11)


def same_gradients(got, wanted):
    for key, gradient in got.items():
        close(gradient, wanted[key])


def test_every_loss_is_here():
    assert set(OPTIONS) == set(losses())


# vmap: a stack of whole calls, labels and masks included


def stack(name, seeds, count=7):
    several = [draw(name, count, seed) for seed in seeds]
    return several, {n: torch.stack([torch.from_numpy(s[n]) for s in several]) for n in several[0]}


@every_case
def test_a_stack_of_whole_calls_gives_each_its_value_and_gradient(name, options):
    several, whole = stack(name, range(4))
    rows, rest = split(name, whole)
    gradients, values = torch.func.vmap(torch.func.grad_and_value(called(name, options)))(rows, rest)
    for place, inputs in enumerate(several):
        value, wanted = want(name, inputs, options)
        close(values[place], value)
        same_gradients({n: g[place] for n, g in gradients.items()}, wanted)


@every_loss
def test_gradients_of_single_rows(name, options):
    inputs = draw(name, 6)
    rows, rest = split(name, tensors(inputs))
    aligned = {n for n in inputs if inputs[n].shape[:1] == (6,)}
    dims = [{n: 0 if n in aligned else None for n in part} for part in (rows, rest)]

    def one(rows, rest):
        single = [{n: t[None] if n in aligned else t for n, t in part.items()} for part in (rows, rest)]
        return called(name, options)(*single)

    gradients = torch.func.vmap(torch.func.grad(one), tuple(dims))(rows, rest)
    for place in range(6):
        single = {n: a[place : place + 1] if n in aligned else a for n, a in inputs.items()}
        wanted = want(name, single, options)[1]
        same_gradients({n: g[place].reshape(wanted[n].shape) for n, g in gradients.items()}, wanted)


@pytest.mark.parametrize("name", ["cross_entropy_loss", "arcface_loss", "cosface_loss", "center_loss", "oim_loss"])
def test_a_wrong_label_within_a_stack_makes_its_own_term_nan(name):
    _, whole = stack(name, range(2), 5)
    whole["labels"][1, 2], whole["mask"][1, 2] = -100, True
    terms = torch.func.vmap(lambda given: getattr(backend, name)(**given, reduction="none"))(whole)
    assert terms.isnan().nonzero().tolist() == [[1, 2]]


# forward mode


@every_case
def test_forward_mode_gives_the_gradient(name, options):
    inputs = draw(name, 6)
    rows, rest = split(name, tensors(inputs))
    value, wanted = want(name, inputs, options)
    along = {n: torch.full_like(t, 1.0) + 0.5 * t for n, t in rows.items()}
    got, slope = torch.func.jvp(lambda rows: called(name, options)(rows, rest), (rows,), (along,))
    close(got, value)
    close(slope, sum((wanted[n] * along[n].numpy()).sum() for n in rows))
    same_gradients(torch.func.jacfwd(called(name, options))(rows, rest), wanted)


@every_case
def test_hessian_is_the_derivative_of_the_gradient(name, options):
    rows, rest = split(name, tensors(draw(name, 5)))
    loss = called(name, options)
    forward = torch.func.hessian(lambda rows: loss(rows, rest))(rows)
    reverse = torch.func.jacrev(torch.func.jacrev(lambda rows: loss(rows, rest)))(rows)
    twice = torch.func.jacfwd(torch.func.jacfwd(lambda rows: loss(rows, rest)))(rows)
    for a in rows:
        for b in rows:
            close(forward[a][b], reverse[a][b])
            close(twice[a][b], reverse[a][b])


@pytest.mark.parametrize("pairwise", ["gram", "direct"])
@pytest.mark.parametrize("name", ["batch_all_triplet_loss", "semi_hard_triplet_loss"])
def test_hessian_of_pairs_agrees_with_differences_of_gradients(name, pairwise):
    inputs, options = draw(name, 5), {"pairwise": pairwise, "distance": "squared_euclidean"}
    rows, rest = split(name, tensors(inputs))
    hessian = torch.func.hessian(lambda rows: called(name, options)(rows, rest))(rows)["embeddings"]["embeddings"]
    step, x = 2.0**-12, inputs["embeddings"]
    for place in np.ndindex(x.shape):
        moved = [
            x + sign * step * np.eye(x.size)[np.ravel_multi_index(place, x.shape)].reshape(x.shape) for sign in (1, -1)
        ]
        up, down = (want(name, {**inputs, "embeddings": m}, options)[1]["embeddings"] for m in moved)
        np.testing.assert_allclose(hessian[(..., *place)], (up - down) / (2 * step), atol=1e-6)


# traces: recorded on other numbers


def other(name, count=7):
    """Return the inputs that a call is recorded on: every label another one, so that nobody has a positive."""
    inputs = draw(name, count, seed=9)
    if "labels" in inputs:
        inputs["labels"] = np.arange(count) % CLASSES
        inputs["mask"] = inputs["labels"] == np.arange(count)
    return inputs


@every_case
@pytest.mark.parametrize("record", ["jit", "make_fx", "symbolic make_fx"])
def test_a_trace_of_other_numbers_gives_value_and_gradient(name, options, record):
    names = list(draw(name, 7))

    def loss(*given):
        return getattr(backend, name)(**dict(zip(names, given, strict=True)), **options)

    example = tuple(tensors(other(name)).values())
    if record == "jit":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(loss, example, check_trace=False)
    else:
        mode = "symbolic" if "symbolic" in record else "real"
        traced = torch.fx.experimental.proxy_tensor.make_fx(loss, tracing_mode=mode)(*example)
    inputs = draw(name, 7)
    native = tensors(inputs)
    rows, _ = split(name, native)
    for t in rows.values():
        t.requires_grad_()
    value, wanted = want(name, inputs, options)
    got = traced(*native.values())
    close(got.detach(), value)
    same_gradients(dict(zip(rows, torch.autograd.grad(got, list(rows.values())), strict=True)), wanted)


# export with a batch of any size


@every_case
@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_program_takes_other_batch_sizes(name, options, strict):
    names = list(draw(name, 7))
    batch = torch.export.Dim("batch", max=2**16)  # torch 2.6 needs one

    class Module(torch.nn.Module):
        def forward(self, given):
            return getattr(backend, name)(**given, **options)

    shapes = losses()[name].inputs
    dynamic = {n: {0: batch} if shapes[n]["shape"].split()[0] in ("B", "...") else {} for n in names}
    program = torch.export.export(Module(), (tensors(other(name, 7)),), dynamic_shapes=({**dynamic},), strict=strict)
    for count in (11, 4):
        inputs = draw(name, count)
        native = tensors(inputs)
        rows, _ = split(name, native)
        for t in rows.values():
            t.requires_grad_()
        value, wanted = want(name, inputs, options)
        got = program.module()(native)
        close(got.detach(), value)
        same_gradients(dict(zip(rows, torch.autograd.grad(got, list(rows.values())), strict=True)), wanted)


# switches that look for mistakes


@pytest.fixture
def strict():
    torch.use_deterministic_algorithms(True)
    with torch.autograd.set_detect_anomaly(True):
        yield
    torch.use_deterministic_algorithms(False)


@every_case
def test_anomaly_and_deterministic_modes_stop_nothing(name, options, strict):
    inputs = draw(name, 7)
    rows, rest = split(name, tensors(inputs))
    for t in rows.values():
        t.requires_grad_()
    got = called(name, options)(rows, rest)
    value, wanted = want(name, inputs, options)
    close(got.detach(), value)
    same_gradients(dict(zip(rows, torch.autograd.grad(got, list(rows.values())), strict=True)), wanted)


def test_a_trace_reads_no_number_of_positives():
    rows, frequent = torch.tensor([[4.0], [9.0], [3.0], [0.0], [3.0]]), torch.tensor([0, 0, 0, 0, 1])
    for loss, wanted in ((backend.batch_all_triplet_loss, 3.1667), (backend.semi_hard_triplet_loss, 18.333)):
        for options in ({}, {"max_positives": 3}):
            example = rows, torch.tensor([0, 0, 1, 1, 2])
            traced = torch.jit.trace(lambda x, y, f=loss, o=options: f(x, y, **o), example, check_trace=False)
            assert traced(rows, frequent).item() == pytest.approx(wanted, rel=1e-4)


# functions that are no losses


def test_a_stack_of_updates_masks_and_rates_gives_each_its_own():
    rng = np.random.default_rng(0)
    x, labels = torch.from_numpy(rng.standard_normal((3, 5, 2))), torch.from_numpy(rng.integers(-1, 3, (3, 5)))
    table, queue = torch.from_numpy(rng.standard_normal((3, 3, 2))), torch.zeros(3, 2, 2, dtype=torch.float64)
    head, legal = torch.zeros(3, dtype=torch.int64), labels.clamp(min=0)
    same, t = x[..., 0] > 0, torch.from_numpy(np.sort(rng.random((3, 4))))
    for function, given in (
        (backend.update_centers, (table, x, legal)),
        (backend.update_oim_memory, (table, queue, head, x, labels)),
        (backend.triplet_masks, (labels,)),
        (lambda a, b: backend.classify_triplets(a, b, margin=0.2), (x[..., 0], x[..., 1])),
        (backend.verification_rates, (x[..., 1].abs(), same, t)),
        (backend.verification_accuracy, (x[..., 1].abs(), same, t)),
        (backend.best_accuracy, (x[..., 1].abs(), same)),
        (lambda d, s: backend.val_at_far(d, s, far=0.5), (x[..., 1].abs(), same)),
    ):
        whole = torch.func.vmap(function)(*given)
        for place in range(3):
            single = function(*(tensor[place] for tensor in given))
            for a, b in zip(*((f if isinstance(f, tuple) else (f,)) for f in (whole, single)), strict=True):
                torch.testing.assert_close(a[place], b, equal_nan=True)


def test_labels_of_a_draw_that_cannot_be_read_are_no_error():
    draw_ = torch.jit.trace(
        lambda y: backend.sample_triplets(y, 4, torch.Generator().manual_seed(0)), (torch.tensor([0, 0, 1]),),
        check_trace=False,
    )  # fmt: skip
    assert draw_(torch.tensor([0, 1, 2])).tolist() == [[-1] * 3] * 4


def test_compiled_forward_mode_and_hessian():
    rows, rest = split("arcface_loss", tensors(draw("arcface_loss", 4)))
    loss = called("arcface_loss", {"scale": 4.0})
    plain = torch.func.hessian(lambda r: loss({**rows, "embeddings": r}, rest))
    compiled = torch.compile(plain, fullgraph=True, backend="aot_eager")
    close(compiled(rows["embeddings"]), plain(rows["embeddings"]))


SMALL = {  # a loss whose slope is small: (rows, labels, options)
    "circle_loss": ([[1.0, 0.0], [0.98, 0.2], [-0.3, 1.0]], [0, 0, 1], {"gamma": 128.0}),
    "batch_hard_triplet_loss": ([[0.0], [1.0], [9.0]], [0, 0, 1], {"soft_margin": True}),
    "semi_hard_triplet_loss": ([[0.0], [1.0], [3.0]], [0, 0, 1], {"soft_margin": True}),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_trace_keeps_the_digits_of_a_small_slope(name):
    numbers, labels, options = SMALL[name]
    rows = torch.tensor(numbers, dtype=torch.float64)

    def loss(x):
        return getattr(backend, name)(x, torch.tensor(labels), reduction="sum", **options)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that shapes are constants of the trace
        traced = torch.jit.trace(loss, (rows.clone().requires_grad_(),), check_trace=False)
    for _ in range(3):  # the first calls are not optimised
        found = derivative(traced, rows)
    want = derivative(loss, rows)
    assert float((found - want).abs().max() / want.abs().max()) < 1e-14


def derivative(function, rows):
    rows = rows.clone().requires_grad_()
    return torch.autograd.grad(function(rows), rows)[0]
