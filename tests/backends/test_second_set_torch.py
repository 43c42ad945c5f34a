"""A second set of rows in torch: what a judge of single calls cannot see, and how much memory it needs."""

import inspect
import math

import numpy as np
import pytest

from lossproof import reference

torch = pytest.importorskip("torch")
backend = pytest.importorskip("lossproof.backends.torch")

LOSSES = ("batch_all_triplet_loss", "batch_hard_triplet_loss", "semi_hard_triplet_loss", "circle_loss")
MODULES = ("BatchAllTripletLoss", "BatchHardTripletLoss", "SemiHardTripletLoss", "CircleLoss")
RNG = np.random.default_rng(11)
X, Y = RNG.standard_normal((6, 5)), np.array([0, 0, 1, 1, 2, 7])
MEMORY, NAMES = RNG.standard_normal((9, 5)), np.array([0, 1, 2, 0, 1, 2, 3, 0, 1])


def variants(loss):
    """Return options that reach each way to the distances."""
    if loss == "circle_loss":
        return [{"gamma": 8.0}, {"gamma": 8.0, "detach_weights": False}]
    distances = [{"distance": d} for d in ("euclidean", "squared_euclidean", "cosine")]
    ways = [{"include_self": i} for i in (False, True)] if "hard_triplet" in loss and "semi" not in loss else []
    ways = ways or [{"pairwise": p} for p in ("gram", "direct")]
    return [one | other for one in distances for other in ways]


CASES = [(loss, options) for loss in LOSSES for options in variants(loss)]
each = pytest.mark.parametrize(("loss", "options"), CASES, ids=lambda case: str(case))


def gradients(loss, rows, labels, others, names, **options):
    """Return the value and the gradients of the two sets."""
    rows, others = rows.clone().requires_grad_(), others.clone().requires_grad_()
    value = getattr(backend, loss)(rows, labels, candidates=others, candidate_labels=names, **options)
    return value.detach(), *torch.autograd.grad(value.sum(), (rows, others))


@each
def test_the_batch_as_its_own_second_set_is_the_plain_call(loss, options):
    mask, labels = torch.tensor(X[:, 0] < 1), torch.tensor(Y)
    rows = torch.tensor(X, requires_grad=True)
    plain = getattr(backend, loss)(rows, labels, mask=mask, **options)
    plain.backward()
    index = torch.arange(len(Y), dtype=torch.int32)
    second = {"candidate_mask": mask, "candidate_index": index, "mask": mask}
    value, own, other = gradients(loss, rows.detach(), labels, rows.detach(), labels, **second, **options)
    assert value.item() == pytest.approx(plain.item(), rel=1e-12)
    np.testing.assert_allclose(own + other, rows.grad, rtol=1e-8, atol=1e-12)


@each
def test_a_memory_is_compared_as_the_reference_compares_it(loss, options):
    index = np.array([-1, 3, 4, -1, 2, 3])
    options = options | {"weights": np.array([1.0, 0.0, 2.0, 0.5, 1.0, 1.0])}
    arrays = {key: torch.tensor(v) if isinstance(v, np.ndarray) else v for key, v in options.items()}
    known = {"candidates": MEMORY, "candidate_labels": NAMES, "candidate_index": index}
    expected, slopes = getattr(reference, loss)(X, Y, **known, **options, cotangent=np.array(1.0))
    tensors = map(torch.tensor, (X, Y, MEMORY, NAMES))
    value, own, other = gradients(loss, *tensors, candidate_index=torch.tensor(index), **arrays)
    assert value.item() == pytest.approx(float(expected), rel=1e-12)
    np.testing.assert_allclose(own, slopes["embeddings"], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(other, slopes["candidates"], rtol=1e-8, atol=1e-12)


@each
def test_no_array_is_larger_than_anchors_by_candidates(loss, options, monkeypatch):
    from torch.utils._python_dispatch import TorchDispatchMode

    count, many, width = 30, 50, 3

    class Sizes(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            made = function(*arguments, **(keywords or {}))
            for one in made if isinstance(made, tuple | list) else (made,):
                if isinstance(one, torch.Tensor):
                    self.largest = max(self.largest, one.numel())
            return made

    rows, others = torch.randn(count, width, requires_grad=True), torch.randn(many, width, requires_grad=True)
    labels, names = torch.arange(count) % 5, torch.arange(many) % 5
    monkeypatch.setattr("lossproof.backends.torch.pairwise._BLOCK", 0)  # one row of differences at a time
    known = {"candidates": others, "candidate_labels": names, "candidate_index": torch.arange(count)}
    with Sizes() as sizes:
        getattr(backend, loss)(rows, labels, **known, **options).backward()
    assert sizes.largest <= count * (many + 1)  # one column takes what is dropped


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("one", ["int64", "int8", "uint64", "int32"])
@pytest.mark.parametrize("other", ["int64", "uint8", "uint64"])
def test_labels_of_two_dtypes_are_compared_as_integers(loss, one, other):
    """-1, 255 and 2**64 - 1 have the same bits in some of the dtypes."""
    ends = [-1 if dtype[0] == "i" else int(torch.iinfo(getattr(torch, dtype)).max) for dtype in (one, other)]
    first, second = ([end, 3, 3, 0] for end in ends)
    numbers = {n: i for i, n in enumerate(dict.fromkeys([*first, *second]))}
    same = [torch.tensor([numbers[n] for n in names]) for names in (first, second)]
    typed = [torch.tensor(names, dtype=getattr(torch, d)) for names, d in ((first, one), (second, other))]
    rows, others = torch.tensor(X[:4]), torch.tensor(MEMORY[:4])
    for options in ({}, {"candidate_index": torch.tensor([0, 2, -1, 1])}):
        expected, found = (gradients(loss, rows, a, others, b, **options) for a, b in (same, typed))
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("loss", LOSSES)
def test_wider_candidates_are_compared_in_their_dtype(loss):
    rows = torch.tensor(X).to(torch.bfloat16)
    labels, others, names = map(torch.tensor, (Y, MEMORY, NAMES))
    value, own, other = gradients(loss, rows, labels, others, names)
    wide, whole, _ = gradients(loss, rows.double(), labels, others, names)
    assert (value.dtype, own.dtype, other.dtype) == (torch.float64, torch.bfloat16, torch.float64)
    assert value == wide
    np.testing.assert_allclose(own.double(), whole, rtol=2e-2, atol=1e-3)
    with pytest.raises(TypeError, match="candidates must have the dtype of embeddings, float64, or a wider one"):
        gradients(loss, torch.tensor(X), labels, others.float(), names)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("number", "dtype"), [(9, "int64"), (-2, "int8"), (2**64 - 1, "uint64")])
def test_an_index_that_is_no_candidate_is_refused_on_the_host(loss, number, dtype):
    index = torch.tensor([0, 1, number, 1, 1, 1], dtype=getattr(torch, dtype))
    arrays = list(map(torch.tensor, (X, Y, MEMORY, NAMES)))
    with pytest.raises(ValueError, match=r"candidate_index must be in \[-1, 9\)"):
        gradients(loss, *arrays, candidate_index=index)
    mask = torch.tensor([True, True, False, True, True, True])
    assert torch.isfinite(gradients(loss, *arrays, candidate_index=index, mask=mask)[0])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("way", ["vmap", "compile"])
def test_elsewhere_it_makes_the_terms_of_its_anchor_nan(loss, way):
    index = torch.tensor([0, -1, 9, 1, -1, -1])
    rows, labels, others, names = map(torch.tensor, (X, Y, MEMORY, NAMES))

    def call(index):
        known = {"candidates": others, "candidate_labels": names, "candidate_index": index}
        return getattr(backend, loss)(rows, labels, **known, reduction="none")

    if way == "vmap":
        found = torch.func.vmap(call)(index[None])[0]
    else:
        found = torch.compile(call, fullgraph=True, backend="eager")(index)
    clean = call(index.where(index < 9, -1))
    pairs = clean[2] != 0 if loss == "semi_hard_triplet_loss" else torch.ones((), dtype=torch.bool)
    assert found[2][pairs].isnan().all()
    others_of = torch.arange(6) != 2
    torch.testing.assert_close(found[others_of], clean[others_of], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("content", [math.nan, math.inf, 1e300])
def test_nothing_of_the_candidate_that_is_the_anchor_reaches_it(loss, content):
    others = torch.tensor(MEMORY)
    rows, labels, names = torch.tensor(X[:1]), torch.tensor(Y[:1]), torch.tensor(NAMES)
    wild = others.clone()
    wild[3] = content
    options = {"candidate_index": torch.tensor([3])}
    if "pairwise" in inspect.signature(getattr(backend, loss)).parameters and math.isfinite(content):
        options["pairwise"] = "direct"  # it counts among the rows from whose mean "gram" measures
    clean, found = (gradients(loss, rows, labels, c, names, **options) for c in (others, wild))
    for a, b in zip(clean, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    assert not found[2][3].any()


def test_a_batch_among_all_rows_names_its_own():
    """Rows gathered from all devices: the loss of the parts is that of the whole, and so are the gradients."""
    for loss in LOSSES:
        whole, labels = torch.tensor(X, requires_grad=True), torch.tensor(Y)
        getattr(backend, loss)(whole, labels, reduction="sum").backward()
        rows, total = torch.tensor(X, requires_grad=True), 0.0
        for part in (slice(0, 4), slice(4, 6)):
            known = {"candidates": rows, "candidate_labels": labels, "candidate_index": torch.arange(6)[part]}
            total = total + getattr(backend, loss)(rows[part], labels[part], **known, reduction="sum")
        total.backward()
        np.testing.assert_allclose(rows.grad, whole.grad, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
@pytest.mark.parametrize("loss", LOSSES)
def test_sets_without_rows_give_nothing(loss, shape):
    rows, others = (torch.zeros(n, 3, requires_grad=True) for n in shape)
    labels, names = (torch.zeros(n, dtype=torch.int64) for n in shape)
    for reduction in ("none", "sum", "mean", "mean_nonzero"):
        value = getattr(backend, loss)(rows, labels, candidates=others, candidate_labels=names, reduction=reduction)
        unit = shape if loss == "semi_hard_triplet_loss" else shape[:1]
        assert tuple(value.shape) == (unit if reduction == "none" else ())
        assert not value.any()
        assert not any(g.any() for g in torch.autograd.grad(value.sum(), (rows, others)))


@pytest.mark.parametrize(("module", "loss"), list(zip(MODULES, LOSSES, strict=True)))
def test_the_modules_pass_the_second_set_on(module, loss):
    rows, labels, others, names = map(torch.tensor, (X, Y, MEMORY, NAMES))
    known = {
        "candidates": others,
        "candidate_labels": names,
        "candidate_mask": names != 3,
        "candidate_index": torch.tensor([0, 1, -1, -1, 2, 2]),
    }
    found = getattr(backend, module)(reduction="sum")(rows, labels, **known)
    assert torch.equal(found, getattr(backend, loss)(rows, labels, **known, reduction="sum"))


@pytest.mark.parametrize("loss", LOSSES[::2])
def test_more_positives_than_the_bound(loss):
    rows, labels, others, names = map(torch.tensor, (X, Y, MEMORY, NAMES))
    call = getattr(backend, loss)
    known = {"candidates": others, "candidate_labels": names}
    with pytest.raises(ValueError, match="max_positives=2"):
        call(rows, labels, **known, max_positives=2)
    named = known | {"candidate_index": torch.tensor([0, 7, 1, 8, -1, -1])}  # no more than two are left
    assert torch.equal(call(rows, labels, **named, max_positives=2), call(rows, labels, **named))


@pytest.mark.parametrize("loss", LOSSES)
def test_an_exported_program_takes_any_number_of_anchors_and_of_candidates(loss):
    class Program(torch.nn.Module):
        def forward(self, rows, labels, others, names, index):
            known = {"candidates": others, "candidate_labels": names, "candidate_index": index}
            return getattr(backend, loss)(rows, labels, **known)

    def draw(count, many):
        labels, names = (torch.tensor(RNG.integers(0, 3, n)) for n in (count, many))
        rows, others = (torch.tensor(RNG.standard_normal((n, 4))) for n in (count, many))
        return rows, labels, others, names, torch.tensor(RNG.integers(-1, many, count))

    anchors, candidates = torch.export.Dim("anchors", max=4096), torch.export.Dim("candidates", max=4096)
    sides = ({0: anchors}, {0: anchors}, {0: candidates}, {0: candidates}, {0: anchors})
    program = torch.export.export(Program(), draw(5, 7), dynamic_shapes=sides).module()
    for count, many in ((5, 7), (3, 11), (8, 8), (9, 2)):
        arrays = draw(count, many)
        torch.testing.assert_close(program(*arrays), Program()(*arrays), rtol=1e-12, atol=1e-12)
