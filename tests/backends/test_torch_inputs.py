"""What the torch backend does with its own kinds of inputs: devices, integers of every width, wider tables."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import lossproof.backends.torch as backend  # noqa: E402
import lossproof.reference as reference  # noqa: E402

ROWS, TABLE = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.eye(3)
LABELS, MASK = torch.tensor([0, 2, 0, 1]), torch.tensor([True, True, False, True])
QUEUE, HEAD = torch.ones(2, 3), torch.tensor(0)
ONES = torch.ones(4)


# everything on one device: `meta` stands for any that is not the host's


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("labels", lambda m: backend.cross_entropy_loss(m(ROWS), LABELS)),
        ("mask", lambda m: backend.cross_entropy_loss(m(ROWS), m(LABELS), mask=MASK)),
        ("targets", lambda m: backend.soft_cross_entropy_loss(m(ROWS), ROWS.abs())),
        ("mask", lambda m: backend.soft_cross_entropy_loss(m(ROWS), m(ROWS.abs()), mask=MASK)),
        ("labels", lambda m: backend.batch_all_triplet_loss(m(ROWS), LABELS)),
        ("labels", lambda m: backend.circle_loss(m(ROWS), LABELS)),
        ("centers", lambda m: backend.center_loss(m(ROWS), m(LABELS), TABLE)),
        ("class_weights", lambda m: backend.arcface_loss(m(ROWS), m(LABELS), TABLE)),
        ("class_weights", lambda m: backend.cosface_loss(m(ROWS), m(LABELS), TABLE)),
        ("lookup_table", lambda m: backend.oim_loss(m(ROWS), m(LABELS), TABLE, m(QUEUE))),
        ("queue", lambda m: backend.oim_loss(m(ROWS), m(LABELS), m(TABLE), QUEUE)),
        ("head", lambda m: backend.update_oim_memory(m(TABLE), m(QUEUE), HEAD, m(ROWS), m(LABELS))),
        ("logits", lambda m: backend.joint_loss(ROWS, m(ROWS), m(LABELS), m(TABLE))),
        ("centers", lambda m: backend.joint_loss(m(ROWS), m(ROWS), m(LABELS), TABLE)),
        ("labels", lambda m: backend.joint_loss(m(ROWS), m(ROWS), LABELS, m(TABLE))),
        ("positive", lambda m: backend.triplet_margin_loss(m(ROWS), ROWS, m(ROWS))),
        ("dissimilar", lambda m: backend.contrastive_loss(m(ROWS), m(ROWS), MASK)),
        ("mask", lambda m: backend.triplet_masks(m(LABELS), mask=MASK)),
        ("d_an", lambda m: backend.classify_triplets(m(ONES), ONES, margin=0.2)),
        ("same", lambda m: backend.verification_rates(m(ONES), MASK, m(ONES))),
        ("thresholds", lambda m: backend.verification_rates(m(ONES), m(MASK), ONES)),
    ],
)
def test_a_tensor_on_another_device_is_named(name, call):
    with pytest.raises(
        ValueError, match=rf"^{name} must be on the device of \w+, meta, got cpu$|^{name} .* cpu, got meta"
    ):
        call(lambda t: t.to("meta"))


# labels at both ends of every integer dtype

INTEGERS = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64]
every_integer = pytest.mark.parametrize("dtype", INTEGERS, ids=lambda dtype: str(dtype).removeprefix("torch."))


def ends(dtype):
    return int(torch.iinfo(dtype).min), int(torch.iinfo(dtype).max)


@every_integer
def test_labels_at_both_ends_are_themselves(dtype):
    low, high = ends(dtype)
    labels = torch.tensor([low, high, high, low + 1, low], dtype=dtype)
    for loss in (backend.batch_hard_triplet_loss, backend.batch_all_triplet_loss, backend.semi_hard_triplet_loss):
        rows = torch.arange(10.0).reshape(5, 2) ** 1.5
        assert torch.equal(loss(rows, labels), loss(rows, torch.tensor([0, 1, 1, 2, 0])))
    positive, _ = backend.triplet_masks(labels)
    assert positive.nonzero().tolist() == [[0, 4], [1, 2], [2, 1], [4, 0]]


@every_integer
def test_a_label_outside_the_table_is_named_as_it_was_given(dtype):
    high = ends(dtype)[1]
    with pytest.raises(
        ValueError, match=rf"labels must be in \[0, 2\], got {high}; rows that take no part are named by mask"
    ):
        backend.cross_entropy_loss(ROWS, torch.tensor([0, high, 1, 1], dtype=dtype))


@every_integer
def test_unlabelled_is_the_number_that_is_meant(dtype):
    low, high = ends(dtype)
    labels = torch.tensor([0, high, 1, 1], dtype=dtype)
    found = backend.oim_loss(ROWS, labels, TABLE, QUEUE, unlabelled=high, reduction="none")
    assert torch.equal(found, backend.oim_loss(ROWS, torch.tensor([0, -1, 1, 1]), TABLE, QUEUE, reduction="none"))
    wrapped = -1 if low == 0 else high + 1
    with pytest.raises(ValueError, match=f"got {high}"):
        backend.oim_loss(ROWS, labels, TABLE, QUEUE, unlabelled=wrapped)


def test_a_large_label_of_uint64_is_not_unlabelled_where_nothing_is_read():
    labels = torch.tensor([[0, 2**64 - 1, 1, 1]], dtype=torch.uint64)
    terms = torch.func.vmap(lambda y: backend.oim_loss(ROWS, y, TABLE, QUEUE, reduction="none"))(labels)
    assert terms.isnan().tolist() == [[False, True, False, False]]


def test_a_negative_label_gets_a_message_that_names_mask():
    with pytest.raises(
        ValueError, match=r"labels must be in \[0, 2\], got -100; rows that take no part are named by mask"
    ):
        backend.cross_entropy_loss(ROWS, torch.tensor([0, -100, 1, 1]))


# tables and logits that are wider than the rows

HALVES = [torch.bfloat16, torch.float16]
PAIRS = [
    (narrow, wide) for narrow in (*HALVES, torch.float32) for wide in (torch.float32, torch.float64) if narrow != wide
]
every_pair = pytest.mark.parametrize(("narrow", "wide"), PAIRS, ids=lambda dtype: str(dtype).removeprefix("torch."))
TABLES = {
    "arcface_loss": lambda x, t: ({"embeddings": x, "class_weights": t}, {}),
    "center_loss": lambda x, t: ({"embeddings": x, "centers": t}, {}),
    "cosface_loss": lambda x, t: ({"embeddings": x, "class_weights": t}, {}),
    "oim_loss": lambda x, t: ({"embeddings": x}, {"lookup_table": t, "queue": QUEUE.to(t.dtype)}),
    "joint_loss": lambda x, t: ({"embeddings": x, "logits": 2 * t[LABELS], "centers": t}, {}),
}


@every_pair
@pytest.mark.parametrize("name", TABLES)
def test_a_wider_table_decides_the_arithmetic_and_each_gradient_has_its_own_dtype(name, narrow, wide):
    rows, rest = TABLES[name](ROWS.to(narrow), (TABLE + 0.1).to(wide))
    rows = {n: t.detach().requires_grad_() for n, t in rows.items()}
    loss = getattr(backend, name)(**rows, labels=LABELS, mask=MASK, **rest)
    gradients = torch.autograd.grad(loss, list(rows.values()))
    numbers = {n: t.detach().double().numpy() for n, t in {**rows, **rest}.items()}
    value, wanted = getattr(reference, name)(**numbers, labels=LABELS.numpy(), mask=MASK.numpy(), cotangent=np.ones(()))
    assert loss.dtype == wide
    assert abs(loss.item() - value) < 64 * torch.finfo(wide).eps * (1 + abs(value))
    for (n, row), gradient in zip(rows.items(), gradients, strict=True):
        assert gradient.dtype == row.dtype
        slack = torch.finfo(row.dtype).eps / 2 + 64 * torch.finfo(wide).eps
        least = torch.finfo(row.dtype).tiny + 64 * torch.finfo(wide).eps
        np.testing.assert_allclose(gradient.double(), wanted[n], rtol=slack, atol=least)


@every_pair
def test_updates_take_wider_tables_and_return_their_dtype(narrow, wide):
    x, table, queue = ROWS.to(narrow), (TABLE + 0.1).to(wide), QUEUE.to(wide)
    moved = backend.update_centers(table, x, LABELS)
    again = backend.update_centers(table.double(), x.double(), LABELS)
    assert moved.dtype == wide
    torch.testing.assert_close(moved.double(), again, rtol=1e-6, atol=1e-6)
    labels = torch.tensor([0, -1, 0, 1])
    memory = backend.update_oim_memory(table, queue, HEAD, x, labels)
    assert [t.dtype for t in memory] == [wide, wide, torch.int64]
    exact = backend.update_oim_memory(table.double(), queue.double(), HEAD, x.double(), labels)
    torch.testing.assert_close(memory[0].double(), exact[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("rows", "table"), [(torch.float64, torch.float32), (torch.bfloat16, torch.float16)])
@pytest.mark.parametrize("name", TABLES)
def test_a_narrower_table_and_two_halves_are_refused(name, rows, table):
    inputs, rest = TABLES[name](ROWS.to(rows), TABLE.to(table))
    with pytest.raises(TypeError, match="or a wider one"):
        getattr(backend, name)(**inputs, **rest, labels=LABELS)


def test_rows_of_a_joint_loss_are_checked_before_what_is_compared_with_them():
    with pytest.raises(TypeError, match="embeddings must have dtype"):
        backend.joint_loss(ROWS, LABELS[:, None], LABELS, TABLE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_modules_widen_parameters_that_are_narrower_than_the_rows(dtype):
    x = ROWS.to(dtype)
    for module, given in (
        (backend.ArcFaceLoss(3, 3), (x, LABELS)),
        (backend.CosFaceLoss(3, 3), (x, LABELS)),
        (backend.CenterLoss(3, 3), (x, LABELS)),
        (backend.OIMLoss(3, 2, 3), (x, LABELS)),
        (backend.JointLoss(3, 3), (ROWS.bfloat16(), x, LABELS)),
    ):
        loss = module(*given)
        assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        if hasattr(module, "update"):
            module.update(*given)
        assert {t.dtype for t in module.state_dict().values() if t.is_floating_point()} == {torch.float32}


# buffers that are written, not replaced


@pytest.mark.parametrize("make", [lambda: backend.OIMLoss(3, 2, 3), lambda: backend.CenterLoss(3, 3)])
def test_shared_memory_stays_shared_when_the_module_is_updated(make):
    module = make()
    module.share_memory()
    before = {name: tensor.data_ptr() for name, tensor in module.state_dict().items()}
    old = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.update(ROWS, torch.tensor([0, 1, 0, 2]) if "centers" in old else torch.tensor([0, -1, 0, 2]))
    after = module.state_dict()
    assert all(tensor.is_shared() and tensor.data_ptr() == before[name] for name, tensor in after.items())
    assert not any(torch.equal(after[name], old[name]) for name in old)


# no filler decides


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
def test_batch_hard_takes_no_row_that_is_no_candidate(distance):
    rows = torch.tensor([[-3e38], [-3e38], [3e38]], requires_grad=True)
    labels = torch.tensor([0, 0, 1])
    loss = backend.batch_hard_triplet_loss(rows, labels, margin=1.0, distance=distance, reduction="none")
    assert loss.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("pairwise", ["gram", "direct"])
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
def test_pairs_that_are_too_far_apart_for_float32_are_still_far_apart(pairwise, distance):
    rows, labels = torch.tensor([[-3e38], [-3e38], [3e38]]), torch.tensor([0, 0, 1])
    for loss in (backend.batch_all_triplet_loss, backend.semi_hard_triplet_loss):
        assert loss(rows, labels, margin=1.0, distance=distance, pairwise=pairwise).item() == 0.0
