"""What a plain call of torch keeps until the backward pass, and what happens to a call in between and around it."""

import warnings
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import lossproof.backends.torch as backend  # noqa: E402
from lossproof.backends.torch import (  # noqa: E402
    arcface_loss,
    batch_all_triplet_loss,
    batch_hard_triplet_loss,
    circle_loss,
    contrastive_loss,
    cosface_loss,
    oim_loss,
    semi_hard_triplet_loss,
    triplet_margin_loss,
)

X = torch.tensor(np.random.default_rng(0).standard_normal((24, 6)))
Y = torch.arange(24) % 6
MASK = Y > 0
MINED = {
    "hard": batch_hard_triplet_loss,
    "all": batch_all_triplet_loss,
    "semi": semi_hard_triplet_loss,
    "circle": lambda *given, **options: circle_loss(*given, gamma=8.0, **options),
}
TABLE = torch.tensor(np.random.default_rng(1).standard_normal((6, 6)))
NEAR, FAR = X.roll(1, 0), X.roll(2, 0)
LOSSES = {
    **{name: lambda x, loss=loss: loss(x, Y) for name, loss in MINED.items()},
    "triplet": lambda x: triplet_margin_loss(x, NEAR, FAR),
    "swap": lambda x: triplet_margin_loss(x, NEAR, FAR, swap=True),
    "contrastive": lambda x: contrastive_loss(x, NEAR, Y > 2),
    "arcface": lambda x: arcface_loss(x, Y, TABLE, scale=4.0),
    "cosface": lambda x: cosface_loss(x, Y, TABLE, scale=4.0),
    "oim": lambda x: oim_loss(x, Y, TABLE, TABLE),
}
every_mined = pytest.mark.parametrize("name", MINED)
every_loss = pytest.mark.parametrize("name", LOSSES)
once_or_twice = pytest.mark.parametrize("create_graph", [False, True], ids=["once", "derived again"])


def rows():
    return X.clone().requires_grad_()


def gradient(value, *given, create_graph=False):
    found = torch.autograd.grad(value, given, create_graph=create_graph)
    return found[0].detach() if len(found) == 1 else [each.detach() for each in found]


@every_mined
@once_or_twice
def test_the_labels_of_the_next_batch_do_not_reach_the_gradient_of_this_one(name, create_graph):
    x, labels, mask = rows(), Y.clone(), MASK.clone()
    value = MINED[name](x, labels, mask=mask)
    labels.copy_(torch.arange(24) % 5)
    mask.fill_(True)
    found = gradient(value, x, create_graph=create_graph)
    want = gradient(MINED[name](x, Y, mask=MASK), x)
    torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12)


@every_loss
@once_or_twice
def test_a_hook_on_the_rows_runs_once(name, create_graph):
    x = rows()
    want = gradient(LOSSES[name](x), x)
    calls = []
    x.register_hook(lambda given: calls.append(1))
    torch.testing.assert_close(gradient(LOSSES[name](x), x, create_graph=create_graph), want, rtol=1e-9, atol=1e-12)
    assert len(calls) == 1


def test_an_anchor_without_an_active_triplet_stops_what_it_is_sent():
    x = (Y[:, None] * 9.0 + 0.01 * X).index_add(0, torch.tensor([0]), torch.full((1, 6), 9.0, dtype=X.dtype))
    x = x.requires_grad_()
    terms = batch_all_triplet_loss(x, Y, margin=0.1, reduction="none")
    assert (terms == 0).any()
    assert (terms > 0).any()
    found = gradient(torch.where(terms > 0, terms.sqrt(), 0.0).sum(), x)  # an infinite slope, where nothing is taken
    assert found.isfinite().all()


@every_loss
def test_other_inputs_may_come_from_inference_mode(name):
    x = rows()
    want = gradient(LOSSES[name](x), x)
    with torch.inference_mode():
        made = {name: globals()[name].clone() for name in ("Y", "TABLE", "NEAR", "FAR")}
    with pytest.MonkeyPatch.context() as patch:
        for constant, value in made.items():
            patch.setitem(globals(), constant, value)
        torch.testing.assert_close(gradient(LOSSES[name](x), x), want, rtol=1e-9, atol=1e-12)


@every_mined
def test_a_mask_may_come_from_inference_mode(name):
    x = rows()
    with torch.inference_mode():
        mask = MASK.clone()
    want = gradient(MINED[name](x, Y, mask=MASK), x)
    torch.testing.assert_close(gradient(MINED[name](x, Y, mask=mask), x), want, rtol=1e-9, atol=1e-12)


@every_loss
def test_another_default_device_changes_nothing(name):
    x = rows()
    want = LOSSES[name](x)
    with torch.device("meta"):
        found = LOSSES[name](x)
    assert torch.equal(found, want)


CLASSES = [name for name in backend.__all__ if name.endswith("Loss")]
SIZES = {"CenterLoss": (4, 6), "ArcFaceLoss": (4, 6), "CosFaceLoss": (4, 6), "OIMLoss": (4, 2, 6), "JointLoss": (4, 6)}


@pytest.mark.parametrize("name", CLASSES)
def test_a_module_may_be_made_on_another_default_device(name):
    with torch.device("meta"):
        getattr(backend, name)(*SIZES.get(name, ()))


@pytest.mark.parametrize("size", [1e-39, 1e-310], ids=["float32", "float64"])
@pytest.mark.parametrize("name", ["circle", "arcface", "cosface", "triplet", "contrastive", "hard"])
def test_a_subnormal_number_alone_in_its_row_gives_no_nan(name, size):
    dtype = torch.float32 if size > 1e-300 else torch.float64
    x = torch.tensor([[size], [1.0], [-1.0], [2.0]], dtype=dtype, requires_grad=True)
    labels, zero = torch.tensor([0, 0, 1, 1]), torch.zeros(4, 1, dtype=dtype)
    value = {
        "circle": lambda: circle_loss(x, labels, gamma=4.0),
        "arcface": lambda: arcface_loss(x, labels, x.detach()[1:3], scale=4.0),
        "cosface": lambda: cosface_loss(x, labels, x.detach()[1:3], scale=4.0),
        "triplet": lambda: triplet_margin_loss(zero, x, 2 * zero, distance="euclidean"),
        "contrastive": lambda: contrastive_loss(x, zero, labels > 0, distance="euclidean"),
        "hard": lambda: batch_hard_triplet_loss(torch.cat([x, zero[:1]]), torch.tensor([0, 1, 1, 2, 0]), margin=3.0),
    }[name]()
    assert value.isfinite()
    assert gradient(value, x).isfinite().all()


@every_mined
def test_nothing_of_the_rows_is_kept_after_the_backward_pass(name):
    x = rows() * 1
    seen = weakref.ref(x)
    value = MINED[name](x, Y)
    value.backward()
    del x
    assert seen() is None


def test_a_gradient_is_nobody_elses_memory():
    given = [torch.nn.Parameter(row.clone()) for row in (X, NEAR, FAR)]
    scale = torch.ones_like(X).requires_grad_()
    triplet_margin_loss(*given).backward()
    places = [each.grad.untyped_storage().data_ptr() for each in given]
    assert len(set(places)) == 3
    value = (scale * given[2].grad).sum()
    given[1].grad.mul_(0.5)
    value.backward()  # raised while the two were views of one array


@every_mined
def test_labels_that_lie_apart_make_no_noise(name):
    apart = torch.stack([Y, Y], 1)[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MINED[name](rows(), apart)
        MINED[name](rows(), apart, candidates=X, candidate_labels=apart)
