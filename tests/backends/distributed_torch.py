"""What the processes of a group do in `test_distributed_torch.py`: each function is one test, run by every process."""

import copy
import warnings
import weakref

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

import lossproof.backends.torch as losses

FEATURES, CLASSES = 4, 3
GAMMA = {"gamma": 16.0}


def group():
    return dist.group.WORLD


def batch(seed, world):
    """Return a union of rows with their split, some of it empty."""
    rng = np.random.default_rng(seed)
    split = [int(n) for n in rng.multinomial(int(rng.integers(2, 14)), rng.dirichlet([0.7] * world))]
    count = sum(split)
    rows = torch.from_numpy(rng.standard_normal((count, FEATURES)))
    return split, {
        "rows": rows,
        "labels": torch.from_numpy(rng.integers(0, CLASSES, count)),
        "logits": torch.from_numpy(rng.standard_normal((count, CLASSES))),
        "table": torch.from_numpy(rng.standard_normal((CLASSES, FEATURES))),
        "mask": torch.from_numpy(rng.random(count) < 0.7) if seed % 2 else None,
        "weights": torch.from_numpy(rng.random(count)) if seed % 3 == 0 else None,
        "dissimilar": torch.from_numpy(rng.random(count) < 0.5),
    }


def calls(b, seed):
    """Return the call of each loss on a batch: its inputs by row, its tables, its options."""
    four = {"reduction": ("none", "sum", "mean", "mean_nonzero")[seed % 4]}
    three = {"reduction": ("none", "sum", "mean")[seed % 3]}
    x, y, t = b["rows"], b["labels"], b["table"]
    ten = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    return {
        "triplet_margin_loss": ((x, 2 * x.flip(1), 3 * x + 1), (), four),
        "contrastive_loss": ((x, x.flip(1), b["dissimilar"]), (), four),
        "center_loss": ((x, y), (t,), three),
        "arcface_loss": ((x, y), (t,), three),
        "cosface_loss": ((x, y), (t,), three),
        "cross_entropy_loss": ((b["logits"], y), (), three | {"class_weights": ten}),
        "soft_cross_entropy_loss": ((b["logits"], b["logits"].softmax(-1)), (), three),
        "oim_loss": ((x, y), (t, t[:2]), three),
        "batch_hard_triplet_loss": ((x, y), (), four),
        "batch_all_triplet_loss": ((x, y), (), four),
        "semi_hard_triplet_loss": ((x, y), (), four),
        "circle_loss": ((x, y), (), four | GAMMA),
        "joint_loss": ((b["logits"], x, y), (t,), {}),
    }


def asked(function, by_row, tables, options, **more):
    """Return the value, and the gradient of its sum by each float input."""
    inputs = [a.clone().requires_grad_() if a.is_floating_point() else a for a in (*by_row, *tables)]
    value = function(*inputs, **options, **more)
    rows = [a for a in inputs if a.requires_grad]
    found = torch.autograd.grad(value.sum(), rows, allow_unused=True)
    return value.detach(), [torch.zeros_like(a) if g is None else g for a, g in zip(rows, found, strict=True)]


def near(got, want, what):
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12, equal_nan=True, msg=lambda text: f"{what}: {text}")


def own(array, split):
    first = sum(split[: dist.get_rank()])
    return array[first : first + split[dist.get_rank()]]


def total(tensor):
    found = tensor.clone()
    dist.all_reduce(found)
    return found


def every_loss(world):
    for seed in range(24):
        split, b = batch(seed, world)
        for name, (by_row, tables, options) in calls(b, seed).items():
            function, units = getattr(losses, name), {"mask": b["mask"], "weights": b["weights"]}
            value, gradients = asked(function, by_row, tables, options, **units)
            local = {n: None if u is None else own(u, split) for n, u in units.items()}
            combine = ("mean", "sum")[seed // 2 % 2]
            sizes = {"sizes": split} if seed % 5 == 0 and "sizes" in function.__kwdefaults__ else {}
            more = {**local, "process_group": group(), "combine": combine, **sizes}
            got, received = asked(function, [own(a, split) for a in by_row], tables, options, **more)
            scale = world if combine == "mean" and not value.ndim else 1
            near(got, own(value, split), name) if value.ndim else near(total(got) / scale, value, name)
            by_row = [a for a in by_row if a.is_floating_point()]
            for place, (g, want) in enumerate(zip(received, gradients, strict=True)):
                what = f"{name}, seed {seed}, gradient {place}"
                near(g / scale, own(want, split), what) if place < len(by_row) else near(total(g) / scale, want, what)


def second_derivatives(world):
    """A penalty on the gradient: DD-16."""
    split, b = batch(4, world)
    for name in ("batch_hard_triplet_loss", "batch_all_triplet_loss", "semi_hard_triplet_loss", "circle_loss"):
        options = GAMMA | {"detach_weights": False} if name == "circle_loss" else {}

        def penalty(rows, labels, **more):
            rows = rows.clone().requires_grad_()
            (g,) = torch.autograd.grad(getattr(losses, name)(rows, labels, **options, **more), rows, create_graph=True)  # noqa: B023
            return torch.autograd.grad((g * g).sum(), rows)[0]

        want = penalty(b["rows"], b["labels"])
        assert want.abs().max() > 1e-3
        spread = {"process_group": group(), "combine": "sum"}
        near(penalty(own(b["rows"], split), own(b["labels"], split), **spread), own(want, split), name)


def compiled(world):
    rows = torch.arange(2.0 * world * 3, dtype=torch.float64).reshape(-1, 3).sin()
    labels = torch.arange(2 * world) // 2 % 2
    split = [2] * world
    for name in ("batch_hard_triplet_loss", "semi_hard_triplet_loss"):
        call = torch.compile(getattr(losses, name), fullgraph=True, backend="aot_eager")
        value, (g,) = asked(call, (own(rows, split), own(labels, split)), (), {}, process_group=group(), combine="sum")
        want, (w,) = asked(getattr(losses, name), (rows, labels), (), {})
        near(total(value), want, name), near(g, own(w, split), name)


def half_rows(world):
    """Rows travel in their dtype, and a gradient is rounded once."""
    split, b = batch(7, world)
    for dtype in (torch.float16, torch.bfloat16):
        half = b["rows"].to(dtype)
        value, (g,) = asked(losses.batch_hard_triplet_loss, (half.float(), b["labels"]), (), {})
        local = own(half, split), own(b["labels"], split)
        got, (received,) = asked(losses.batch_hard_triplet_loss, local, (), {}, process_group=group(), combine="sum")
        assert (got.dtype, received.dtype) == (torch.float32, dtype)
        torch.testing.assert_close(total(got), value, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(received.float(), own(g, split), rtol=2.0**-8, atol=1e-6)


def exact_labels(world):
    """Labels that no float32 tells apart, at both ends of their range, and a NaN that is masked out: DD-8, DD-13."""
    split, b = batch(4, world)
    for names in (torch.tensor([2**63 - 1, 2**63 - 2, -(2**63)]), torch.tensor([2**24, 2**24 + 1, 2**24 + 2])):
        mask = torch.arange(len(b["rows"])) != 0
        spoilt = torch.where(mask[:, None], b["rows"], torch.nan)
        want, _ = asked(losses.batch_all_triplet_loss, (b["rows"], names[b["labels"]]), (), {}, mask=mask)
        local = own(spoilt, split), own(names[b["labels"]], split)
        more = {"mask": own(mask, split), "process_group": group(), "combine": "sum"}
        got, (g,) = asked(losses.batch_all_triplet_loss, local, (), {}, **more)
        near(total(got), want, "labels")
        assert not g.isnan().any()


def alone(world):
    """A group of one is no group: DD-9."""
    groups = [dist.new_group([rank]) for rank in range(world)]
    _, b = batch(4, world)
    for name, (by_row, tables, options) in calls(b, 2).items():
        value, gradients = asked(getattr(losses, name), by_row, tables, options)
        got, received = asked(getattr(losses, name), by_row, tables, options, process_group=groups[dist.get_rank()])
        assert torch.equal(got, value), name
        assert all(map(torch.equal, received, gradients)), name


def updates(world):
    """Centers and memories are the same bits on every process, and those of one: DD-17."""
    centers = losses.CenterLoss(CLASSES, FEATURES, process_group=group())
    with torch.no_grad():
        centers.centers.copy_(torch.ones(CLASSES, FEATURES))
    memory = losses.OIMLoss(CLASSES, 5, FEATURES, process_group=group())
    one_centers, one_memory = losses.CenterLoss(CLASSES, FEATURES), losses.OIMLoss(CLASSES, 5, FEATURES)
    with torch.no_grad():
        one_centers.centers.copy_(centers.centers)
    for seed in range(6):
        split, b = batch(seed, world)
        rows, labels = b["rows"].float(), b["labels"]
        options = {} if b["mask"] is None else {"mask": own(b["mask"], split)}
        memory_labels = labels.masked_fill(labels == 0, -1)
        centers.update(own(rows, split), own(labels, split), **options)
        memory.update(own(rows, split), own(memory_labels, split), **options)
        moved = losses.update_centers(one_centers.centers, rows, labels, mask=b["mask"])
        one_centers.centers.data.copy_(moved)
        state = one_memory.lookup_table, one_memory.queue, one_memory.head
        found = losses.update_oim_memory(*state, rows, memory_labels, mask=b["mask"])
        for buffer, new in zip(state, found, strict=True):
            buffer.copy_(new)
    for mine, whole in (
        (centers.centers.data, one_centers.centers.data),
        *zip(memory.buffers(), one_memory.buffers(), strict=True),
    ):
        torch.testing.assert_close(mine, whole, rtol=1e-5, atol=1e-6)
        every = [torch.empty_like(mine) for _ in range(world)]
        dist.all_gather(every, mine)
        assert all(torch.equal(mine, other) for other in every)


def refused(world):
    """What no process can mean: DD-18. Nothing is exchanged, so that every process goes on."""
    rows, labels = torch.ones(2, 3), torch.tensor([0, 1])
    more = {"process_group": group()}
    wrong = [
        ("combine", lambda: losses.batch_hard_triplet_loss(rows, labels, combine="average", **more)),
        ("sizes", lambda: losses.batch_hard_triplet_loss(rows, labels, sizes=[2] * (world + 1), **more)),
        ("sizes", lambda: losses.batch_hard_triplet_loss(rows, labels, sizes=[3] * world, **more)),
        ("candidates", lambda: losses.circle_loss(rows, labels, candidates=rows, candidate_labels=labels, **more)),
        ("process_group", lambda: losses.OIMLoss(2, 1, 3).update(rows, labels)),
        ("process_group", lambda: losses.CenterLoss(2, 3).update(rows, labels)),
        ("combine", lambda: losses.CircleLoss(combine="W")),
    ]
    for named, call in wrong:
        with pytest.raises((ValueError, RuntimeError), match=named):
            call()


def sharded(world):
    """A DTensor is refused: its own rows are to be given."""
    mesh = init_device_mesh("cpu", (world,))
    rows = distribute_tensor(torch.arange(4.0 * world).reshape(-1, 2), mesh, [Shard(0)])
    with pytest.raises(TypeError, match="embeddings must be the rows of this process, got a DTensor"):
        losses.batch_hard_triplet_loss(rows, torch.arange(2 * world) // 2)
    local = rows.to_local().requires_grad_()
    losses.batch_hard_triplet_loss(local, torch.tensor([0, 1]), process_group=mesh.get_group()).backward()
    assert local.grad.abs().sum() > 0


def compared(world):
    """With `check` every process raises where one differs."""
    rank = dist.get_rank()
    rows, labels = torch.ones(2, 3 + (rank == 1)), torch.tensor([0, 1])
    for named, call in (
        ("embeddings", lambda: losses.batch_hard_triplet_loss(rows, labels, process_group=group(), check=True)),
        ("margin", lambda: losses.batch_hard_triplet_loss(
            rows[:, :3], labels, margin=0.3 + rank, process_group=group(), check=True)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{named} must be alike on all processes"):
            call()
    losses.batch_hard_triplet_loss(rows[:, :3], labels, process_group=group(), check=True)


def frozen(world):
    """A process whose rows need no gradient takes part in the backward pass of the others: DD-15."""
    split, b = batch(4, world)
    (_, (want,)) = asked(losses.batch_hard_triplet_loss, (b["rows"], b["labels"]), (), {})
    rows = own(b["rows"], split).clone().requires_grad_(dist.get_rank() != 0)
    value = losses.batch_hard_triplet_loss(rows, own(b["labels"], split), process_group=group(), combine="sum")
    value.backward()
    if dist.get_rank() != 0:
        near(rows.grad, own(want, split), "frozen")


def helpers(world):
    """A loss of one's own, its total, and the gradients of a table that no reducer sees."""
    split, b = batch(4, world)
    rows = own(b["rows"], split).clone().requires_grad_()
    whole = b["rows"].clone().requires_grad_()
    (whole @ whole.T).sin().sum().backward()
    share = (rows @ losses.gather_rows(rows, group()).T).sin().sum()
    share.backward()
    near(rows.grad, own(whole.grad, split), "gather_rows")
    near(losses.total_loss(share, group(), combine="sum"), (whole @ whole.T).sin().sum().detach(), "total_loss")
    loss = losses.CenterLoss(CLASSES, FEATURES, dtype=torch.float64, process_group=group())
    with torch.no_grad():
        loss.centers.copy_(b["table"])
    one = copy.deepcopy(b["table"]).requires_grad_()
    losses.center_loss(b["rows"], b["labels"], one).backward()
    loss(rows.detach(), own(b["labels"], split)).backward()
    losses.combine_gradients(loss.parameters(), group())
    near(loss.centers.grad, one.grad, "combine_gradients")


def trained(world):
    """Under DistributedDataParallel, model and centers are those of one device after each of 100 steps."""
    torch.manual_seed(0)
    model = torch.nn.Linear(5, FEATURES, dtype=torch.float64)
    alone_ = copy.deepcopy(model)
    loss = losses.JointLoss(CLASSES, FEATURES, dtype=torch.float64, process_group=group())
    single = losses.JointLoss(CLASSES, FEATURES, dtype=torch.float64)
    single.load_state_dict(loss.state_dict())
    head = torch.from_numpy(np.random.default_rng(9).standard_normal((FEATURES, CLASSES)))
    spread = DistributedDataParallel(model)
    steps = [torch.optim.SGD([*m.parameters(), *c.parameters()], lr=0.05) for m, c in ((model, loss), (alone_, single))]
    for step in range(100):
        rng = np.random.default_rng(step)
        split = [3, 5] if world == 2 else [1, 3, 2, 2]
        x, y = torch.from_numpy(rng.standard_normal((8, 5))), torch.from_numpy(rng.integers(0, CLASSES, 8))
        for optimizer in steps:
            optimizer.zero_grad()
        rows = spread(own(x, split))
        loss(rows @ head, rows, own(y, split)).backward()
        losses.combine_gradients(loss.parameters(), group())
        whole = alone_(x)
        single(whole @ head, whole, y).backward()
        for optimizer in steps:
            optimizer.step()
    for mine, want in zip(
        [*model.parameters(), *loss.parameters()], [*alone_.parameters(), *single.parameters()], strict=True
    ):
        torch.testing.assert_close(mine, want, rtol=1e-9, atol=1e-9)
        every = [torch.empty_like(mine) for _ in range(world)]
        dist.all_gather(every, mine.detach())
        assert all(torch.equal(mine, other) for other in every)


def traffic(world):
    """What travels in a step is what the model says, to the byte, and no array is larger than own rows x all rows."""
    from benchmarks.traffic import COUNT, Step
    from lossproof.backends.torch import distributed

    received, largest = [], [0]

    def counted(exchange, foreign):
        def counting(out, given, *, group):
            received.append(foreign(out, given).numel() * out.element_size() * (world - 1) // world)
            return exchange(out, given, group=group)

        return counting

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            found = func(*args, **(kwargs or {}))
            largest[0] = max([largest[0], *(t.numel() for t in flat(found) if isinstance(t, torch.Tensor))])
            return found

    gather, scatter = distributed._GATHER, distributed._SCATTER
    distributed._GATHER = counted(gather, lambda out, given: out)
    distributed._SCATTER = counted(scatter, lambda out, given: given)
    try:
        for dtype, width in ((torch.float32, 4), (torch.bfloat16, 2)):
            rows = torch.randn(8, 16, generator=torch.Generator().manual_seed(dist.get_rank())).to(dtype)
            for name in ("batch_hard_triplet_loss", "batch_all_triplet_loss", "semi_hard_triplet_loss", "circle_loss"):
                received.clear()
                with Sizes():
                    leaf = rows.clone().requires_grad_()
                    getattr(losses, name)(leaf, torch.arange(8) % 4, process_group=group()).backward()
                step = Step(8 * world, 16, world, width)
                assert sum(received) == step.gathered + step.scattered + (world - 1) * COUNT, (name, received)
                assert largest[0] <= 8 * max(8 * world, 16 * world), name
    finally:
        distributed._GATHER, distributed._SCATTER = gather, scatter


def ended(world):
    """A loss that outlives its group keeps none of its threads, and says so when it is derived."""
    own = dist.new_group()
    value = losses.batch_hard_triplet_loss(
        torch.ones(2, 1, requires_grad=True), torch.arange(2), process_group=own, check=True
    )
    held = weakref.ref(own)
    dist.destroy_process_group(own)
    del own
    assert held() is None
    with pytest.raises(RuntimeError, match="destroyed"):
        value.backward()


def flat(found):
    return found if isinstance(found, tuple | list) else [found]


TESTS = (
    every_loss, second_derivatives, compiled, half_rows, exact_labels, alone, updates, refused, sharded, compared,
    frozen, helpers, traffic, trained, ended,
)  # fmt: skip


def run(rank, world, meet, answers):
    """Run every test in one process of the group; keep what went wrong."""
    import traceback
    from datetime import timedelta
    from pathlib import Path

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{meet}", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    for test in TESTS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", FutureWarning)
                test(world)
            said = "right"
        except BaseException:
            said = traceback.format_exc()
        Path(f"{answers}-{test.__name__}-{rank}").write_text(said)
        dist.barrier()
    dist.destroy_process_group()
