"""The circle loss of a plain call beside its formula, which every other call gets: the same numbers and derivatives."""

import pytest

torch = pytest.importorskip("torch")

from lossproof.backends.torch import circle_loss, circle_sums  # noqa: E402

BATCHES = {
    "runs of different lengths": [0, 0, 0, 1, 1, 2, 3, 3, 0, 1, 4, 2],
    "no positive": list(range(12)),
    "no negative": [5] * 12,
    "one of all": [0] * 11 + [1],
}
OPTIONS = [{}, {"gamma": 8.0, "margin": -0.3}, {"gamma": 0.0}, {"gamma": 1e30, "margin": 1.0}]


def batch(name, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 5, generator=generator, dtype=dtype)
    x[4] = 2 * x[3]  # of one direction
    x[7] = 0
    return x.requires_grad_(), torch.tensor(BATCHES[name])


def both_ways(monkeypatch, call):
    """Return what a call gives in place, and what it gives by the formula."""
    taken = []
    own = circle_sums._in_place
    monkeypatch.setattr(circle_sums, "_in_place", lambda *given: (taken.append(1), own(*given))[1])
    in_place = call()
    assert taken
    monkeypatch.setattr(circle_sums, "plain", lambda *given: False)
    return in_place, call()


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize("reduction", ["none", "mean_nonzero"])
def test_values_and_gradients_are_those_of_the_formula(monkeypatch, name, options, masked, reduction):
    x, labels = batch(name)
    mask = torch.tensor([True, False, True, True, False, True, True, True, True, False, True, True]) if masked else None
    monkeypatch.setattr(circle_sums, "_WIDEST", 12)

    def call():
        loss = circle_loss(x, labels, mask=mask, reduction=reduction, **options)
        seed = torch.arange(1.0, 1 + loss.numel(), dtype=loss.dtype).reshape(loss.shape)
        return loss.detach(), *torch.autograd.grad(loss, x, seed)

    for one, other in zip(*both_ways(monkeypatch, call), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11 * max(1.0, float(other.abs().max())))


def test_second_derivatives(monkeypatch):
    x, labels = batch("runs of different lengths")
    along = torch.randn(12, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def call():
        (slope,) = torch.autograd.grad(circle_loss(x, labels, gamma=8.0), x, create_graph=True)
        return torch.autograd.grad((slope * along).sum(), x)

    monkeypatch.setattr(circle_sums, "_WIDEST", 12)
    for one, other in zip(*both_ways(monkeypatch, call), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_long_runs_of_one_label_get_the_formula(monkeypatch):
    monkeypatch.setattr(circle_sums, "_in_place", None)
    x, labels = batch("no negative")
    circle_loss(x, labels).backward()


def test_rows_that_hold_no_number_get_the_formula(monkeypatch):
    monkeypatch.setattr(circle_sums, "_in_place", None)
    x, labels = batch("no positive")
    for value in (torch.nan, torch.inf):
        spoilt = x.detach().clone()
        spoilt[2, 1] = value
        assert circle_loss(spoilt, labels, reduction="none").isnan().all()


def test_autocast_changes_no_bit():
    x, labels = (t.detach() for t in batch("runs of different lengths", torch.float32))
    x.requires_grad_()
    want = torch.autograd.grad(circle_loss(x, labels, gamma=8.0), x)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(circle_loss(x, labels, gamma=8.0), x)
    assert torch.equal(found[0], want[0])
