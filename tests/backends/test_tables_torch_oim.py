"""The torch module that holds the memory of OIM, and what torch does with its functions."""

import io

import numpy as np
import pytest

ROWS = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]], "float32")  # for OIM
LABELS = np.array([0, -1, 0, -1], "int32")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def memory(torch):
    from lossproof.backends.torch import OIMLoss

    return OIMLoss(3, 3, 2, temperature=0.5)


def after_one_batch(torch):
    found = memory(torch)
    found.update(torch.tensor(ROWS), torch.tensor(LABELS))
    return found


def test_oim_update_moves_the_buffers(torch):
    loss = after_one_batch(torch)
    half = 0.5**0.5
    np.testing.assert_allclose(loss.lookup_table, [[half, -half], [0, 0], [0, 0]], atol=1e-7)
    assert (loss.queue.tolist(), loss.head.item()) == ([[0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]], 2)


def test_oim_call_moves_nothing(torch):
    loss = after_one_batch(torch)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss(torch.tensor(ROWS, requires_grad=True), torch.tensor(LABELS)).backward()
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


def test_oim_update_before_the_backward_pass_leaves_the_gradient(torch):
    gradients = []
    for early in (True, False):
        loss, rows = after_one_batch(torch), torch.tensor(ROWS, requires_grad=True)
        value = loss(rows, torch.tensor(LABELS))
        if early:
            loss.update(rows, torch.tensor(LABELS))
        value.backward()
        gradients.append(rows.grad)
    assert torch.equal(*gradients)


def test_oim_state_comes_back_with_the_head(torch):
    loss, again, buffer = after_one_batch(torch), memory(torch), io.BytesIO()
    torch.save(loss.state_dict(), buffer)
    buffer.seek(0)
    again.load_state_dict(torch.load(buffer, weights_only=True))
    assert sorted(again.state_dict()) == ["head", "lookup_table", "queue"]
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in loss.state_dict().items())
    assert not list(loss.parameters())


def test_oim_update_has_no_gradient(torch):
    from lossproof.backends.torch import update_oim_memory

    rows, table, queue = (torch.zeros(4, 2, requires_grad=True) for _ in range(3))
    found = update_oim_memory(table, queue, torch.tensor(0), rows, torch.tensor(LABELS))
    assert not any(value.requires_grad for value in found)


def test_oim_reads_nothing_from_the_device(torch):
    from lossproof.backends.torch import oim_loss, update_oim_memory

    x, v, q = (torch.empty(n, 2, device="meta", requires_grad=True) for n in (5, 3, 4))
    y, head = (torch.empty(shape, device="meta", dtype=torch.int64) for shape in ((5,), ()))
    mask = torch.empty(5, device="meta", dtype=torch.bool)
    oim_loss(x, y, v, q, mask=mask).backward()
    moved = update_oim_memory(v, q, head, x, y, mask=mask)
    assert [tuple(value.shape) for value in (x.grad, *moved)] == [(5, 2), (3, 2), (4, 2), ()]


@pytest.mark.filterwarnings("ignore")
def test_oim_update_compiles_as_one_graph(torch):
    from lossproof.backends.torch import update_oim_memory

    torch.compiler.reset()
    compiled = torch.compile(update_oim_memory, fullgraph=True, backend="aot_eager")
    arguments = torch.ones(3, 2), torch.zeros(3, 2), torch.tensor(1), torch.tensor(ROWS), torch.tensor(LABELS)
    for got, want in zip(compiled(*arguments), update_oim_memory(*arguments), strict=True):
        torch.testing.assert_close(got, want)
