"""The fused passes of a plain call beside the formula that every other call gets: the same numbers and derivatives."""

from functools import partial

import pytest

torch = pytest.importorskip("torch")

from lossproof.backends.torch import contrastive_loss, distances, fused, triplet_margin_loss  # noqa: E402

EVERY_OFFSET = pytest.mark.parametrize("eps", [0.0, 1e-6, 0.5])


def rows(*shape, dtype=torch.float64, seed=0, count=3):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_() for _ in range(count)]


def by_formula(eps):
    return partial(distances._formula, distance="p_norm", p=2.0, eps=eps, eps_at="difference")


def fused_distance(x, y, eps):
    return fused.distance(x, y, eps, by_formula(eps))


def fused_slack(a, pos, neg, eps):
    return fused.slack(a, pos, neg, eps, lambda a, pos, neg: by_formula(eps)(a, pos) - by_formula(eps)(a, neg))


def taken(monkeypatch):
    """Return a list that grows with each fused call."""
    calls = []
    for name in ("distance", "slack"):
        own = getattr(fused, name)
        monkeypatch.setattr(fused, name, lambda *given, own=own, name=name: (calls.append(name), own(*given))[1])
    return calls


@EVERY_OFFSET
def test_values_and_gradients_are_those_of_the_formula(eps):
    a, pos, neg = rows(2, 5, 7)
    with torch.no_grad():
        pos[0, 0] = a[0, 0]  # coincident rows, at the kink without an offset
    weights = torch.arange(10.0, dtype=torch.float64).reshape(2, 5)
    formula = by_formula(eps)(a, pos) - by_formula(eps)(a, neg)
    found = fused_slack(a, pos, neg, eps)
    torch.testing.assert_close(found, formula, rtol=1e-14, atol=1e-14)
    for one, other in zip(*(torch.autograd.grad(d, (a, pos, neg), weights) for d in (found, formula)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)
    found, formula = fused_distance(a, pos, eps), by_formula(eps)(a, pos)
    torch.testing.assert_close(found, formula, rtol=1e-14, atol=1e-14)
    for one, other in zip(*(torch.autograd.grad(d, (a, pos), weights) for d in (found, formula)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)


@EVERY_OFFSET
def test_second_derivatives(eps):
    a, pos, neg = rows(3, 4)
    assert torch.autograd.gradgradcheck(lambda *given: fused_slack(*given, eps), (a, pos, neg))
    assert torch.autograd.gradgradcheck(lambda *given: fused_distance(*given, eps), (a, pos))


def test_unit_rows_are_those_of_the_formula():
    (x,) = rows(6, 5, count=1)
    scales = torch.tensor([1.0, 1e-300, 1e300, 0.0, 1e-310, 1.0], dtype=torch.float64).unsqueeze(1)
    weights = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    given = (x.detach() * scales).requires_grad_()
    by = distances.unit_rows_by_formula
    torch.testing.assert_close(fused.units(given, by), by(given), rtol=1e-14, atol=0)
    (found,), (formula,) = (torch.autograd.grad(u, given, weights) for u in (fused.units(given, by), by(given)))
    torch.testing.assert_close(found * scales, formula * scales, rtol=1e-12, atol=1e-14)
    assert torch.autograd.gradgradcheck(lambda x: fused.units(x, by), x)


def test_ambient_switches_change_no_bit():
    (x,) = rows(40, 64, dtype=torch.float32, count=1)
    a, pos, neg = rows(40, 64, dtype=torch.float32, seed=1)

    def everything():
        by = distances.unit_rows_by_formula
        found = [fused.units(x, by), fused_distance(a, pos, 0.5), fused_slack(a, pos, neg, 0.0)]
        total = sum((d * torch.arange(40.0).reshape(40, *[1] * (d.ndim - 1))).sum() for d in found)
        return [*found, *torch.autograd.grad(total, (x, a, pos, neg))]

    want = everything()
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(one, other) for one, other in zip(everything(), want, strict=True))
    torch.set_float32_matmul_precision("medium")
    try:
        assert all(torch.equal(one, other) for one, other in zip(everything(), want, strict=True))
    finally:
        torch.set_float32_matmul_precision("highest")


def test_rows_of_one_direction_become_one_row():
    x = torch.tensor([[0.3, 0.7, -0.2]])
    unit = fused.units(torch.cat([x, 2 * x, 4 * x, torch.tensor([[3.0, 6.0, 9.0], [1.0, 2.0, 3.0]])[:, :3]]), None)
    assert torch.equal(unit[0], unit[1])
    assert torch.equal(unit[0], unit[2])
    assert torch.equal(unit[3], unit[4])


def test_one_tensor_given_twice_gets_both_gradients():
    a, neg = rows(3, 4, count=2)
    assert torch.autograd.gradgradcheck(lambda x, y: fused_slack(x, y, x, 0.5), (a, neg))
    (once,) = torch.autograd.grad(fused_slack(a, a, neg, 0.5).sum(), a)
    (formula,) = torch.autograd.grad((by_formula(0.5)(a, a) - by_formula(0.5)(a, neg)).sum(), a)
    torch.testing.assert_close(once, formula)


def test_only_what_is_asked_gets_a_gradient():
    a, pos, neg = rows(3, 4)
    fixed = pos.detach()
    for create_graph in (False, True):
        found = torch.autograd.grad(fused_slack(a, fixed, neg, 0.5).sum(), (a, neg), create_graph=create_graph)
        expected = torch.autograd.grad(fused_slack(a, pos, neg, 0.5).sum(), (a, neg))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)


def test_a_batch_of_gradients():
    a, pos = rows(3, 4, count=2)
    several = torch.eye(3, dtype=torch.float64)
    found = torch.autograd.grad(fused_distance(a, pos, 0.0), (a, pos), several, is_grads_batched=True)
    expected = torch.autograd.grad(by_formula(0.0)(a, pos), (a, pos), several, is_grads_batched=True)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_plain_call_is_fused(monkeypatch):
    calls = taken(monkeypatch)
    a, pos, neg = rows(3, 4)
    triplet_margin_loss(a, pos, neg).backward()
    contrastive_loss(a, pos, torch.tensor([True, False, True])).backward()
    assert calls == ["slack", "distance"]


@pytest.mark.parametrize(
    "options",
    [{"distance": "cosine"}, {"p": 3.0}, {"eps_at": "root"}, {"eps": torch.tensor(0.5, dtype=torch.float64)}],
    ids=str,
)
def test_another_distance_is_not_fused(monkeypatch, options):
    calls = taken(monkeypatch)
    triplet_margin_loss(*rows(3, 4), **options).backward()
    assert not calls


@pytest.mark.filterwarnings("ignore")  # torch.jit says that it is old
def test_a_transform_gets_the_formula(monkeypatch):
    calls = taken(monkeypatch)
    a, pos, neg = rows(3, 4)
    of_margin = torch.func.grad(lambda margin: triplet_margin_loss(a, pos, neg, margin=margin))
    of_margin(torch.tensor(1.0, dtype=torch.float64))  # no row is wrapped, and yet a transform is under way
    torch.func.hessian(lambda x: triplet_margin_loss(x, pos, neg))(a)
    torch.jit.trace(triplet_margin_loss, (a, pos, neg), check_trace=False)
    assert not calls


@pytest.mark.parametrize("size", [1e18, 1e19, 1e30, 3e38])
def test_rows_whose_squares_overflow_get_the_formula(size):
    a, pos, neg = (size * torch.eye(4)[i : i + 1] * sign for i, sign in ((0, 1), (0, -1), (1, 1)))
    given = [row.clone().requires_grad_() for row in (a, pos, neg)]
    loss = triplet_margin_loss(*given, reduction="none")
    assert loss.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss.sum(), given))


def test_a_row_with_nan_reaches_its_own_term_alone():
    a, pos, neg = rows(3, 4)
    with torch.no_grad():
        neg[1] = torch.nan
    loss = triplet_margin_loss(a, pos, neg, reduction="none")
    assert loss.isnan().tolist() == [False, True, False]
    (gradient,) = torch.autograd.grad(loss[[0, 2]].sum(), a)
    assert gradient[[0, 2]].isfinite().all()
