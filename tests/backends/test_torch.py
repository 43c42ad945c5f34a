"""What is particular to the torch backend: meta tensors, compilation, torch.func, autocast, its module."""

import copy
import io
import math
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lossproof.backends.torch import TripletMarginLoss, triplet_margin_loss  # noqa: E402

DISTANCES = [
    {"distance": "cosine"},
    {"distance": "squared_euclidean"},
    {"distance": "euclidean"},
    *({"p": p, "eps": eps} for p in (1.0, 2.0, 3.0, math.inf) for eps in (0.0, 0.5)),
    *(
        {"p": p, "eps": eps, "eps_at": eps_at}
        for p in (1.0, 1.5, 2.0, 3.0)
        for eps in (0.0, 0.5)
        for eps_at in ("root", "floor")
    ),
]
NORMS = [  # without an offset that keeps coincident rows apart: their gradient is 0
    options
    for options in DISTANCES
    if options.get("distance", "euclidean") == "euclidean" and (options.get("eps", 0) == 0 or "eps_at" in options)
]
every_distance = pytest.mark.parametrize("options", DISTANCES, ids=str)
every_reduction = pytest.mark.parametrize("reduction", ["none", "sum", "mean", "mean_nonzero"])
every_swap = pytest.mark.parametrize("swap", [False, True], ids=["no swap", "swap"])
of_torch_itself = pytest.mark.filterwarnings("ignore")  # its compiler and its forward mode warn of their own code
every_mask = pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])


def draw(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(3)]


def total(*rows, **options):
    return triplet_margin_loss(*rows, reduction="sum", **options)


def value_and_gradients(*rows, **options):
    rows = [row.detach().requires_grad_() for row in rows]
    value = triplet_margin_loss(*rows, **options)
    return value.detach(), torch.autograd.grad(value.sum(), rows)


def second_derivatives(*rows, **options):
    """Differentiate the sum of all gradients, weighted by 1, 2, 3, ... along the features."""
    rows = [row.detach().requires_grad_() for row in rows]
    gradients = torch.autograd.grad(total(*rows, **options), rows, create_graph=True)
    along = torch.arange(1, rows[0].shape[-1] + 1, dtype=rows[0].dtype)
    weighted = torch.stack([(g * along).sum() for g in gradients]).sum()
    return torch.autograd.grad(weighted, rows, materialize_grads=True, allow_unused=True)


# meta: a tensor without content, so whatever reads a value raises


@every_distance
@every_swap
@every_mask
@every_reduction
def test_meta_tensors_go_forward_and_backward(options, swap, masked, reduction):
    rows = [torch.empty(2, 5, 3, device="meta", requires_grad=True) for _ in range(3)]
    mask = torch.empty(2, 5, device="meta", dtype=torch.bool) if masked else None
    loss = triplet_margin_loss(*rows, swap=swap, mask=mask, reduction=reduction, **options)
    loss.sum().backward()
    shape = (2, 5) if reduction == "none" else ()
    assert (loss.shape, [row.grad.shape for row in rows]) == (shape, [(2, 5, 3)] * 3)


@every_distance
def test_meta_tensors_go_backward_twice(options):
    rows = [torch.empty(5, 3, device="meta") for _ in range(3)]
    gradient = torch.func.grad(lambda *rows: torch.func.grad(partial(total, swap=True, **options))(*rows).sum())
    assert gradient(*rows).shape == (5, 3)


@pytest.mark.parametrize("eps_at", ["difference", "root", "floor"])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_numbers_on_the_device_are_not_read(p, eps_at):
    rows = [torch.empty(5, 3, device="meta", requires_grad=True) for _ in range(3)]
    margin, eps = (torch.empty((), device="meta", requires_grad=True) for _ in range(2))
    triplet_margin_loss(*rows, margin=margin, eps=eps, p=p, eps_at=eps_at).backward()
    assert (margin.grad.shape, eps.grad.shape) == ((), ())


# torch.compile


@pytest.fixture
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@of_torch_itself
def test_compiled_loss_with_a_mask_is_the_eager_loss_for_every_margin(fresh_compiler):
    rows, mask = draw(5, 3), torch.tensor([True, True, False, True, True])
    compiled = torch.compile(triplet_margin_loss, fullgraph=True)
    margins = (0.25, 0.5, 2.0)
    results = [compiled(*rows, margin=margin, mask=mask, swap=True) for margin in margins]
    expected = [triplet_margin_loss(*rows, margin=margin, mask=mask, swap=True) for margin in margins]
    torch.testing.assert_close(results, expected, rtol=1e-6, atol=1e-6)


@of_torch_itself
def test_a_margin_that_changes_is_compiled_at_most_twice(fresh_compiler):
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(triplet_margin_loss, fullgraph=True, backend=count)
    for margin in (0.25, 0.5, 2.0, 3.0, 4.5):
        compiled(*draw(5, 3), margin=margin)
    assert len(graphs) <= 2


@of_torch_itself
def test_compiled_backward_is_the_eager_backward(fresh_compiler):
    rows, mask = draw(5, 3), torch.tensor([True, True, False, True, True])
    options = {"p": 3.0, "eps": 0.0, "mask": mask, "reduction": "mean_nonzero"}
    leaves = [row.requires_grad_() for row in rows]
    torch.compile(partial(triplet_margin_loss, **options), fullgraph=True)(*leaves).backward()
    _, expected = value_and_gradients(*rows, **options)
    torch.testing.assert_close([row.grad for row in leaves], list(expected), rtol=1e-5, atol=1e-6)


@of_torch_itself
def test_compiled_grad_of_grad_is_the_eager_one(fresh_compiler):
    rows, along = draw(5, 3, dtype=torch.float64), draw(5, 3, dtype=torch.float64, seed=1)[0]

    def along_gradient(*rows):
        return (torch.func.grad(total)(*rows) * along).sum()

    second = torch.func.grad(along_gradient)
    torch.testing.assert_close(torch.compile(second, fullgraph=True)(*rows), second(*rows), rtol=1e-12, atol=1e-12)


# torch.func


@every_distance
def test_vmap_over_rows_is_reduction_none(options):
    rows = draw(5, 3)
    mapped = torch.func.vmap(partial(triplet_margin_loss, **options))(*rows)
    torch.testing.assert_close(mapped, triplet_margin_loss(*rows, reduction="none", **options))


@every_distance
def test_vmap_of_grad_is_the_gradient_of_the_sum(options):
    rows = draw(5, 3)
    mapped = torch.func.vmap(torch.func.grad(partial(triplet_margin_loss, **options), (0, 1, 2)))(*rows)
    torch.testing.assert_close(mapped, value_and_gradients(*rows, reduction="sum", **options)[1])


def test_vmap_over_margins_and_masks():
    anchor, positive = torch.zeros(2, 1), torch.tensor([[1.0], [2.0]])
    margins, masks = torch.tensor([1.0, 2.0]), torch.tensor([[True, True], [True, False]])

    def loss(margin, mask):
        return total(anchor, positive, anchor, margin=margin, mask=mask, p=1.0, eps=0.0)

    assert torch.func.vmap(loss)(margins, masks).tolist() == [5.0, 3.0]


@every_distance
@of_torch_itself
def test_jvp_is_the_gradient_along_the_tangent(options):
    rows, tangents = draw(5, 3, dtype=torch.float64), draw(5, 3, dtype=torch.float64, seed=1)
    _, along = torch.func.jvp(partial(total, **options), tuple(rows), tuple(tangents))
    _, gradients = value_and_gradients(*rows, reduction="sum", **options)
    expected = sum((g * v).sum() for g, v in zip(gradients, tangents, strict=True))
    torch.testing.assert_close(along, expected, rtol=1e-12, atol=1e-12)


# derivatives at kinks


@every_distance
@every_swap
def test_second_derivative_is_finite_at_coincident_and_zero_rows(options, swap):
    rows = [torch.tensor([[0.0, 0.0], [1.0, 2.0]])] * 3
    assert torch.stack(second_derivatives(*rows, swap=swap, **options)).isfinite().all()


@pytest.mark.parametrize("options", NORMS, ids=str)
def test_gradient_is_zero_at_coincident_rows(options):
    rows = [torch.tensor([[1.0, 2.0]])] * 3
    _, gradients = value_and_gradients(*rows, swap=True, **options)
    assert not torch.stack(gradients).any()


@pytest.mark.parametrize("options", [o for o in NORMS if o.get("eps_at") != "root" or not o["eps"]], ids=str)
def test_second_derivative_is_zero_at_coincident_rows(options):
    anchor, negative = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 2.0]])
    assert not torch.stack(second_derivatives(anchor, anchor, negative, swap=True, **options)).any()


@of_torch_itself
def test_second_derivative_of_squared_euclidean_is_twice_the_identity():
    row = torch.tensor([[1.0, 1.0]])
    hessian = torch.func.hessian(partial(total, distance="squared_euclidean"), 1)(row, row, row)
    assert hessian.reshape(2, 2).tolist() == [[2.0, 0.0], [0.0, 2.0]]


def test_second_derivative_skips_a_zero_coordinate_below_p_2():
    anchor, positive = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 3.0]])
    second = second_derivatives(anchor, positive, anchor, p=1.5, eps=0.0)
    torch.testing.assert_close(torch.stack(second), torch.zeros(3, 1, 2), rtol=0, atol=1e-6)


# numbers that are tensors


def test_margin_of_shape_nothing_is_the_margin():
    rows = draw(5, 3)
    assert triplet_margin_loss(*rows, margin=torch.tensor(0.5)) == triplet_margin_loss(*rows, margin=0.5)


@pytest.mark.parametrize("eps_at", ["difference", "root", "floor"])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_eps_of_shape_nothing_is_the_eps(p, eps_at):
    rows, options = draw(5, 3), {"p": p, "eps_at": eps_at}
    loss = triplet_margin_loss(*rows, eps=torch.tensor(0.5), **options)
    torch.testing.assert_close(loss, triplet_margin_loss(*rows, eps=0.5, **options))


def test_gradient_reaches_the_margin():
    margin = torch.tensor(10.0, requires_grad=True)
    total(*draw(5, 3), margin=margin).backward()
    assert margin.grad == 5.0


def test_gradient_reaches_the_eps():
    zero, eps = torch.zeros(1, 3), torch.tensor(0.5, requires_grad=True)
    total(zero, zero, torch.full((1, 3), 0.25), margin=1.0, p=1.0, eps=eps).backward()
    assert eps.grad == 0.0  # 3 from d(anchor, positive), 3 from d(anchor, negative)


def test_value_of_a_margin_tensor_is_not_checked():
    anchor = torch.zeros(1, 1)
    assert total(anchor, anchor + 3.0, anchor, margin=torch.tensor(-1.0), p=1.0, eps=0.0) == 2.0


def test_float64_margin_and_eps_do_not_promote_float32_rows():
    numbers = {"margin": torch.tensor(0.5).double(), "eps": torch.tensor(0.25).double()}
    assert triplet_margin_loss(*draw(5, 3), **numbers).dtype == torch.float32


@pytest.mark.parametrize("name", ["margin", "eps"])
def test_number_of_shape_one_is_refused(name):
    with pytest.raises(ValueError, match=rf"^{name} must be a number or have shape \(\), got shape \(1,\)$"):
        triplet_margin_loss(*draw(5, 3), **{name: torch.ones(1)})


def test_eps_tensor_is_refused_where_it_has_no_effect():
    with pytest.raises(ValueError, match=r"^eps must be left at its default with distance='cosine', got"):
        triplet_margin_loss(*draw(5, 3), distance="cosine", eps=torch.tensor(1e-6))


# dtypes


HALF = ["float16", "bfloat16"]


@every_distance
@pytest.mark.parametrize("dtype", HALF)
def test_autocast_changes_no_bit(options, dtype):
    rows = draw(5, 3)
    plain, gradients = value_and_gradients(*rows, **options)
    with torch.autocast("cpu", dtype=getattr(torch, dtype)):
        value, inside = value_and_gradients(*rows, **options)
    assert torch.equal(value, plain)
    assert torch.equal(torch.stack(inside), torch.stack(gradients))


@pytest.mark.parametrize("dtype", HALF)
def test_autocast_keeps_float32(dtype):
    with torch.autocast("cpu", dtype=getattr(torch, dtype)):
        assert triplet_margin_loss(*draw(5, 3), distance="cosine").dtype == torch.float32


@every_distance
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_loss_has_the_dtype_of_the_arithmetic_and_a_gradient_that_of_its_input(options, dtype):
    dtype = getattr(torch, dtype)
    value, gradients = value_and_gradients(*draw(5, 3, dtype=dtype), **options)
    arithmetic = torch.float64 if dtype == torch.float64 else torch.float32
    assert [value.dtype, *(g.dtype for g in gradients)] == [arithmetic, dtype, dtype, dtype]


def test_half_rows_are_subtracted_in_float32():
    rows = [torch.tensor([[value]], dtype=torch.float16) for value in (0.0, 2048.0, 0.5)]
    assert triplet_margin_loss(*rows, margin=0.0, p=1.0, eps=0.0) == 2047.5


def test_default_dtype_does_not_change_the_dtype():
    rows = draw(5, 3)
    try:
        torch.set_default_dtype(torch.float64)
        assert triplet_margin_loss(*rows).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


# NaN and masks


@every_distance
@every_reduction
def test_content_of_a_masked_row_changes_no_bit(options, reduction):
    rows, mask = draw(3, 4), torch.tensor([True, False, True])
    results = []
    for content in (1.0, math.nan, math.inf):
        filled = [row.masked_fill(~mask[:, None], content) for row in rows]
        value, gradients = value_and_gradients(*filled, mask=mask, swap=True, reduction=reduction, **options)
        results.append(torch.cat([value.reshape(-1), torch.stack(gradients).reshape(-1)]))
    assert torch.equal(results[1], results[0])
    assert torch.equal(results[2], results[0])


@every_distance
def test_second_derivative_of_a_masked_nan_row_is_zero(options):
    rows = [torch.full((2, 3), math.nan)] * 3
    second = second_derivatives(*rows, mask=torch.zeros(2, dtype=torch.bool), **options)
    assert torch.equal(torch.stack(second), torch.zeros(3, 2, 3))


@every_distance
@every_swap
@pytest.mark.parametrize("held_by", [0, 1, 2])
def test_nan_row_gives_a_nan_term_alone(options, swap, held_by):
    rows = [torch.zeros(2, 3) for _ in range(3)]  # cosine: NaN against a zero row; p = inf: beside larger numbers
    rows[held_by][0] = torch.tensor([9.0, math.nan, 0.0])
    terms = triplet_margin_loss(*rows, swap=swap, reduction="none", **options)
    assert terms.isnan().tolist() == [True, False]


@every_distance
@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_nonzero"])
def test_gradient_of_other_rows_survives_a_nan_row(options, reduction):
    rows = draw(3, 4)
    poisoned = [row.clone() for row in rows]
    poisoned[1][0, 0] = math.nan
    results = [value_and_gradients(*r, reduction=reduction, margin=99.0, **options)[1] for r in (rows, poisoned)]
    assert torch.equal(torch.stack(results[0])[:, 1:], torch.stack(results[1])[:, 1:])


# finite extremes


SIZES = {
    torch.float16: [0.0, 6e-8, 6.2e-5, 1.0, 6e4],
    torch.float32: [0.0, 1e-45, 1.2e-38, 1e-20, 1.0, 1e19, 3.4e38],
    torch.float64: [0.0, 5e-324, 2.3e-308, 1e-160, 1.0, 1e154, 1.79e308],
}
EXTREMES = [
    *DISTANCES,
    *({"p": p, "eps": 0.0} for p in (1.5, 7.0, 1e5, 1e300)),
    *(
        {"p": p, "eps": 1e300, "eps_at": eps_at}
        for p in (1.0, 1.5, 2.0, 3.0, 1e300)
        for eps_at in ("difference", "root", "floor")
    ),
]


def extremes(dtype):
    sizes = torch.tensor(SIZES[dtype], dtype=dtype)
    x, y, z = (axis.reshape(-1, 1) for axis in torch.meshgrid(sizes, sizes, sizes, indexing="ij"))
    return [torch.cat(columns, 1) for columns in ((x, -y), (-y, z), (z, x))]


@pytest.mark.parametrize("dtype", SIZES, ids=str)
@pytest.mark.parametrize("options", EXTREMES, ids=str)
@every_swap
def test_finite_rows_never_give_nan(options, dtype, swap):
    value, gradients = value_and_gradients(*extremes(dtype), swap=swap, reduction="none", **options)
    assert not value.isnan().any()
    assert not torch.stack(gradients).isnan().any()


@pytest.mark.parametrize("options", EXTREMES, ids=str)
def test_rows_that_hold_the_largest_number_give_no_nan_in_any_reduction(options):
    largest = torch.finfo(torch.float32).max
    rows = [torch.full((4, 3), sign * largest) for sign in (1.0, -1.0, 1.0)]
    values = [triplet_margin_loss(*rows, reduction=r, **options) for r in ("sum", "mean", "mean_nonzero")]
    assert not torch.stack(values).isnan().any()


# purity


@every_distance
def test_inputs_are_not_modified(options):
    rows, mask = draw(5, 3), torch.tensor([True, True, False, True, True])
    copies = [row.clone() for row in rows]
    value_and_gradients(*rows, mask=mask, swap=True, **options)
    assert torch.equal(torch.stack(rows), torch.stack(copies))
    assert mask.tolist() == [True, True, False, True, True]


@every_distance
def test_no_random_number_is_drawn(options):
    rows, before = draw(5, 3), torch.get_rng_state()
    value_and_gradients(*rows, swap=True, **options)
    assert torch.equal(torch.get_rng_state(), before)


@every_distance
def test_strided_rows_give_what_contiguous_ones_give(options):
    rows = draw(3, 5)
    strided = [row.t() for row in rows]
    contiguous = [row.contiguous() for row in strided]
    results = [triplet_margin_loss(*r, reduction="none", **options) for r in (strided, contiguous)]
    torch.testing.assert_close(*results)


@every_reduction
def test_no_rows_give_zero_or_nothing(reduction):
    value, gradients = value_and_gradients(*draw(0, 3), reduction=reduction)
    assert (value.tolist(), [g.shape for g in gradients]) == ([] if reduction == "none" else 0.0, [(0, 3)] * 3)


def test_numpy_rows_are_refused():
    message = "^anchor must be a torch.Tensor, got ndarray$"
    with pytest.raises(TypeError, match=message):
        triplet_margin_loss(*[np.zeros((2, 3), np.float32)] * 3)


# the module


def test_module_has_no_state():
    assert not TripletMarginLoss().state_dict()


def test_module_shows_its_options():
    expected = (
        "TripletMarginLoss(margin=0.5, soft_margin=False, distance='p_norm', p=3.0, eps=1e-06, eps_at='difference', "
        "swap=True, reduction='sum')"
    )
    assert repr(TripletMarginLoss(margin=0.5, p=3.0, swap=True, reduction="sum")) == expected


@every_distance
@every_reduction
def test_module_is_the_function(options, reduction):
    rows, mask = draw(5, 3), torch.tensor([True, True, False, True, True])
    module = TripletMarginLoss(margin=0.5, swap=True, reduction=reduction, **options)
    expected = triplet_margin_loss(*rows, margin=0.5, swap=True, reduction=reduction, mask=mask, **options)
    assert torch.equal(module(*rows, mask), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"margin": -1.0},
        {"margin": "wide"},
        {"p": 0.5},
        {"eps": math.nan},
        {"eps_at": "somewhere"},
        {"distance": "manhattan"},
        {"swap": 1},
        {"reduction": "average"},
    ],
    ids=str,
)
def test_module_refuses_an_illegal_option_at_construction(options):
    with pytest.raises((TypeError, ValueError), match=f"^{next(iter(options))} must"):
        TripletMarginLoss(**options)


def test_module_takes_its_options_by_keyword_only():
    with pytest.raises(TypeError, match="positional"):
        TripletMarginLoss(0.5)


def test_module_trains_a_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    criterion, rows = TripletMarginLoss(margin=1.0), draw(16, 4)
    optimizer = torch.optim.SGD([*network.parameters(), *criterion.parameters()], lr=0.1)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = criterion(*map(network, rows))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("again", ["deepcopy", "save"])
def test_module_comes_back_from_a_copy(again):
    module, rows = TripletMarginLoss(margin=0.5, p=3.0, swap=True), draw(5, 3)
    if again == "deepcopy":
        back = copy.deepcopy(module)
    else:
        buffer = io.BytesIO()
        torch.save(module, buffer)
        buffer.seek(0)
        back = torch.load(buffer, weights_only=False)
    assert torch.equal(back(*rows), module(*rows))


def test_module_keeps_its_margin_exact_when_it_is_cast():
    module = TripletMarginLoss(margin=0.1).to(torch.float64)
    anchor = torch.zeros(1, 1, dtype=torch.float64)
    assert module(anchor, anchor, anchor).item() == 0.1
