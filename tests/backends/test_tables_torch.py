"""The torch modules that hold centers or a memory, and what torch does with their functions."""

import io

import numpy as np
import pytest

X = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 0.0]], "float32")
Y = np.array([1, 0, 1], "int32")
C = np.array([[1.0, 0.0], [1.0, -1.0], [5.0, 5.0]], "float32")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def module(torch, **options):
    from lossproof.backends.torch import CenterLoss

    found = CenterLoss(3, 2, factor=0.5, reduction="sum", **options)
    with torch.no_grad():
        found.centers.copy_(torch.tensor(C))
    return found


def test_center_centers_are_a_parameter_that_trains(torch):
    loss = module(torch)
    value = loss(torch.tensor(X), torch.tensor(Y))
    value.backward()
    assert (value.item(), loss.centers.grad.tolist()) == (7.5, [[-2.0, 0.0], [1.0, -4.0], [0.0, 0.0]])


def test_center_update_moves_the_parameter_as_the_function_does(torch):
    from lossproof.backends.torch import update_centers

    loss = module(torch)
    value = loss(torch.tensor(X).requires_grad_(), torch.tensor(Y))
    loss.update(torch.tensor(X), torch.tensor(Y), alpha=0.25)
    assert torch.equal(loss.centers.detach(), update_centers(*map(torch.tensor, (C, X, Y)), alpha=0.25))
    value.backward()  # the centers moved in between


def test_center_state_comes_back(torch):
    loss, other, buffer = module(torch), module(torch), io.BytesIO()
    with torch.no_grad():
        other.centers.zero_()
    torch.save(loss.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other.centers, loss.centers)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_center_embeddings_of_another_dtype_are_taken_in_the_wider_one(torch, dtype):
    value = module(torch)(torch.tensor(X).to(getattr(torch, dtype)), torch.tensor(Y))
    assert (value.item(), value.dtype) == (7.5, torch.float64 if dtype == "float64" else torch.float32)


def test_center_update_has_no_gradient(torch):
    from lossproof.backends.torch import update_centers

    rows, centers = torch.tensor(X).requires_grad_(), torch.tensor(C).requires_grad_()
    assert not update_centers(centers, rows, torch.tensor(Y)).requires_grad


def test_center_reads_nothing_from_the_device(torch):
    from lossproof.backends.torch import center_loss, update_centers

    x, c = (torch.empty(n, 2, device="meta", requires_grad=True) for n in (5, 3))
    y, mask = (torch.empty(5, device="meta", dtype=dtype) for dtype in (torch.int64, torch.bool))
    center_loss(x, y, c, mask=mask, floor=1e-12, ceiling=1e12).backward()
    assert (c.grad.shape, update_centers(c, x, y, mask=mask).shape) == ((3, 2), (3, 2))


@pytest.mark.filterwarnings("ignore")
def test_center_compiles_as_one_graph(torch):
    from lossproof.backends.torch import update_centers

    torch.compiler.reset()
    compiled = torch.compile(update_centers, fullgraph=True, backend="aot_eager")
    arguments = [torch.tensor(a) for a in (C, X, Y)]
    torch.testing.assert_close(compiled(*arguments), update_centers(*arguments))
