"""Every loss of the JAX backend on a batch that is spread over devices, against the plain call on the union.

JAX is told of four devices before it starts: a test runs a function of this module in a process of its own.
"""

import os
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp, lax = jax.numpy, jax.lax

import lossproof.backends.jax as backend  # noqa: E402

P = jax.sharding.PartitionSpec
B, D, C = 8, 3, 4
REDUCTIONS = ("none", "sum", "mean", "mean_nonzero")
EXTREME = [2**63 - 1, 2**63 - 2, -(2**63), 2**24, 2**24 + 1, 2**63 - 1, 2**24 + 1, -(2**63)]


def rows_of(case, rng):
    """Return one batch: each case has what one clause of the page is about."""
    a = {name: rng.standard_normal((B, D)) for name in ("x", "y", "z")}
    a |= {"logits": rng.standard_normal((B, C)), "targets": rng.random((B, C)), "weights": rng.random(B) + 0.5}
    a |= {"labels": rng.integers(0, 3, B), "mask": np.ones(B, bool), "cotangent": np.cos(np.arange(B))}
    if case == "filled":  # DD-7, DD-8
        a["mask"][[1, 6, 7]] = False
        for name in ("x", "y", "z", "logits", "targets", "weights"):
            a[name][~a["mask"]] = np.nan
    if case == "twice":  # DD-12
        a["x"][4:], a["labels"][4:] = a["x"][:4], a["labels"][:4]
    if case == "ties":  # DD-11
        a["x"], a["labels"] = rng.integers(-1, 2, (B, D)).astype(float), rng.integers(0, 2, B)
    if case == "extreme":  # DD-13
        a["labels"] = np.array(EXTREME)
    if case == "nan":  # DD-14
        a["x"][5, 1] = a["logits"][2, 0] = np.nan
    if case == "silent":  # DD-15: nobody takes part on the first of two devices
        a["mask"][:4] = False
    if case == "nobody":
        a["mask"][:] = False
    if case == "apart":  # the only positive of each is on another device
        a["labels"] = np.tile(np.arange(4), 2)
    if case == "weightless":
        a["weights"][[0, 5]] = 0
    a["kinds"] = a["labels"] % C
    a["apart"] = a["kinds"] > 1
    return a


CASES = ("any", "filled", "twice", "ties", "extreme", "nan", "silent", "nobody", "apart", "weightless")
RNG = np.random.default_rng(5)
BATCHES = [rows_of(case, RNG) for case in CASES]
ROWS = ("x", "y", "z", "logits", "targets")  # what has a gradient, beside the table
CONSTANTS = {"queue": RNG.standard_normal((2, D)), "of_classes": RNG.random(C)}
TABLE = RNG.standard_normal((C, D))
WHOLE = ("table", *CONSTANTS)


def mined(name, **options):
    return lambda a, **given: getattr(backend, name)(a["x"], a["labels"], **options, **given)


def of_rows(name, *rows, **options):
    return lambda a, **given: getattr(backend, name)(*(a[row] for row in rows), **options, **given)


CALLS = {
    "triplet": of_rows("triplet_margin_loss", "x", "y", "z", swap=True),
    "contrastive": of_rows("contrastive_loss", "x", "y", "apart"),
    "center": of_rows("center_loss", "x", "kinds", "table"),
    "arcface": of_rows("arcface_loss", "x", "kinds", "table", scale=4.0),
    "cosface": of_rows("cosface_loss", "x", "kinds", "table", scale=4.0),
    "cross": of_rows("cross_entropy_loss", "logits", "kinds"),
    "classes": lambda a, **given: backend.cross_entropy_loss(
        a["logits"], a["kinds"], class_weights=a["of_classes"], label_smoothing=0.1, **given
    ),
    "soft": of_rows("soft_cross_entropy_loss", "logits", "targets"),
    "oim": of_rows("oim_loss", "x", "kinds", "table", "queue", unlabelled=3 - C * 2),
    "joint": of_rows("joint_loss", "logits", "x", "kinds", "table"),
    "hard": mined("batch_hard_triplet_loss"),
    "itself": mined("batch_hard_triplet_loss", include_self=True, soft_margin=True, distance="cosine"),
    "all": mined("batch_all_triplet_loss"),
    "semi": mined("semi_hard_triplet_loss"),
    "circle": mined("circle_loss", gamma=8.0, detach_weights=False),
}
NONZERO = ("triplet", "contrastive", "hard", "itself", "all", "semi", "circle")


def results(names, a, axis_name=None):
    """Return what losses return for each reduction, with a mask and weights, and for the last one without them."""
    found = {}
    for name in names:
        call, masked = partial(CALLS[name], a, axis_name=axis_name), {"mask": a["mask"], "weights": a["weights"]}
        if name == "joint":
            found[name] = [call(**masked), call()]
            continue
        reductions = REDUCTIONS if name in NONZERO else REDUCTIONS[:3]
        found[name] = [
            *(call(**masked, reduction=reduction) for reduction in reductions),
            call(reduction=reductions[-1]),
        ]
    return found


def objective(found, cotangent):
    """Return one number whose gradient holds those of `none` and of the means."""
    each = [
        one if one.ndim == 0 else jnp.sum(one.T * cotangent) for some in found.values() for one in (some[0], *some[-2:])
    ]
    return sum(np.cos(3 * i + 1) * one for i, one in enumerate(each))


def mapped(function, world, in_specs, out_specs, check=True):
    """Return a function over the first devices; check: whether types say what varies over them."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:world]), ("data",))
    if hasattr(jax, "shard_map"):
        return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=check)
    from jax.experimental.shard_map import shard_map

    return shard_map(function, mesh, in_specs, out_specs, check_rep=check)


def on_union(names, slopes, rest):
    def loss(slopes, rest):
        found = results(names, {**slopes, **rest})
        return objective(found, rest["cotangent"]), found

    return jax.grad(loss, has_aux=True)(slopes, rest)


def over_devices(names, world, check, slopes, rest):
    """Return the gradient of the sum of the shares, taken outside of the map, and the losses."""

    def share(slopes, rest):
        found = results(names, {**slopes, **rest}, "data")
        total = lax.psum(objective(found, rest["cotangent"]), "data")
        return total, jax.tree.map(lambda one: one if one.ndim else backend.total_loss(one, "data"), found)

    specs = tuple({n: P() if n in WHOLE else P("data") for n in part} for part in (slopes, rest))
    shapes = jax.eval_shape(partial(results, names), {**slopes, **rest})
    out = P(), jax.tree.map(lambda one: P("data") if one.ndim else P(), shapes)
    return jax.grad(mapped(share, world, specs, out, check), has_aux=True)(slopes, rest)


def over_cases(function):
    """Return what a function returns for each batch; it is compiled once."""
    every = {name: np.stack([batch[name] for batch in BATCHES]) for name in BATCHES[0]}

    def one(a):
        slopes, rest = {n: a[n] for n in ROWS}, {n: a[n] for n in a if n not in ROWS}
        return function({**slopes, "table": jnp.asarray(TABLE)}, {**rest, **CONSTANTS})

    return jax.tree.map(np.asarray, jax.jit(partial(lax.map, one))(every))


def close(found, wanted, what):
    """Compare what was returned for each batch; the gradient of a row that NaN reaches is anybody's (CV-11)."""
    for part in range(2):
        paths = jax.tree_util.tree_leaves_with_path(wanted[part])
        for got, (path, want) in zip(jax.tree.leaves(found[part]), paths, strict=True):
            for case, one, other in zip(CASES, got, want, strict=True):
                known = other[~np.isnan(other)]
                one = np.where(np.isnan(other), other, one) if part == 0 else one
                least = 1e-12 * np.abs(known).max(initial=0.01)
                note = f"{what} {jax.tree_util.keystr(path)} {case}"
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=least, err_msg=note)


ROW_LOSSES = ("triplet", "contrastive", "center", "arcface", "cosface", "cross", "classes", "soft", "oim")
TYPED, UNTYPED = (4, True), (2, False)  # a number of devices, and whether types say what varies over them
WORLDS = {
    ROW_LOSSES: (TYPED,), ("joint",): (TYPED,), ("hard",): (TYPED,), ("itself",): (UNTYPED,), ("all",): (UNTYPED,),
    ("semi",): (TYPED, UNTYPED), ("circle",): (TYPED,),
}  # fmt: skip


def every_loss():
    for names, worlds in WORLDS.items():
        wanted = over_cases(partial(on_union, names))
        for world, check in worlds:
            close(over_cases(partial(over_devices, names, world, check)), wanted, f"{world} devices")


def first(case):
    a = BATCHES[CASES.index(case)]
    return jnp.asarray(a["x"]), jnp.asarray(a["labels"])


def total_of(loss):
    return lambda x, y: lax.psum(loss(x, y, axis_name="data"), "data")


def of_blocks(function, axis_name):
    return jax.jit(jax.vmap(function, axis_name=axis_name))


def row_gradients_inside():
    """DD-4 with the gradient taken on each device, in each kind of map."""
    x, y = first("any")
    loss = backend.batch_hard_triplet_loss
    want, own = jax.jit(jax.grad(loss))(x, y), jax.grad(partial(loss, axis_name="data"))
    found = [jax.jit(mapped(own, 4, (P("data"), P("data")), P("data"), check))(x, y) for check in (True, False)]
    blocks = x.reshape(4, 2, D), y.reshape(4, 2)
    found += [kind(own, axis_name="data")(*blocks).reshape(B, D) for kind in (jax.pmap, of_blocks)]
    for one in found:
        np.testing.assert_allclose(one, want, rtol=1e-12, atol=1e-13)


def two_axes():
    """The rows stand in the order of the axes that are named, the last one fastest."""
    x, y = first("ties")
    mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(2, 2), ("a", "b"))
    loss = partial(backend.batch_hard_triplet_loss, reduction="none")
    want = jax.jit(loss)(x, y)
    if hasattr(jax, "shard_map"):
        spec = P(("a", "b"))
        each = jax.shard_map(partial(loss, axis_name=("a", "b")), mesh=mesh, in_specs=(spec, spec), out_specs=spec)
        np.testing.assert_allclose(jax.jit(each)(x, y), want, rtol=1e-12)
    inner = jax.vmap(partial(loss, axis_name=("a", "b")), axis_name="b")
    found = of_blocks(inner, "a")(x.reshape(2, 2, 2, D), y.reshape(2, 2, 2))
    np.testing.assert_allclose(found.reshape(B), want, rtol=1e-12)


def gradients_of_a_table():
    """DD-5: with types the sum over the devices is made by JAX, without them by the caller."""
    x, y = first("any")
    want = jax.grad(backend.center_loss, 2)(x, y % C, TABLE)

    def slope(x, y, table, check):
        own = jax.grad(partial(backend.center_loss, axis_name="data"), 2)(x, y, table)
        return own if check else lax.psum(own, "data")

    for check in (True, False):
        each = mapped(partial(slope, check=check), 4, (P("data"), P("data"), P()), P(), check)
        np.testing.assert_allclose(jax.jit(each)(x, y % C, TABLE), want, rtol=1e-12, atol=1e-15)


def one_device():
    """DD-9, bit for bit."""
    x, y = first("any")
    for loss in (backend.batch_hard_triplet_loss, backend.circle_loss):
        each = mapped(total_of(loss), 1, (P("data"),) * 2, P())
        alone, together = (jax.jit(jax.value_and_grad(one))(x, y) for one in (loss, each))
        assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def second_derivatives():
    """DD-16: a penalty of the gradient by the rows."""
    x, y = first("any")
    for loss in (backend.batch_hard_triplet_loss, backend.semi_hard_triplet_loss):
        loss = partial(loss, reduction="sum")
        own = mapped(jax.grad(partial(loss, axis_name="data")), 2, (P("data"), P("data")), P("data"))
        penalties = [jax.jit(jax.grad(lambda x, own=one: jnp.sum(jnp.sin(own(x, y))))) for one in (jax.grad(loss), own)]
        want, found = (penalty(x) for penalty in penalties)
        assert np.abs(want).max() > 0.01
        np.testing.assert_allclose(found, want, rtol=1e-11, atol=1e-12)


def narrow_rows():
    """DD-19: rows travel as they are, and a gradient is rounded once."""
    x, y = first("any")
    for dtype in (jnp.bfloat16, jnp.float16):
        low = x.astype(dtype)
        loss = backend.batch_hard_triplet_loss
        each = mapped(total_of(loss), 4, (P("data"),) * 2, P())
        found, want = jax.jit(jax.grad(each))(low, y), jax.grad(loss)(low.astype(jnp.float32), y)
        assert found.dtype == dtype
        unit = float(jnp.finfo(dtype).eps) / 2
        np.testing.assert_allclose(found.astype(jnp.float32), want, rtol=unit * 1.01 + 1e-6, atol=1e-7)
        gathered = re.findall(r"(\w+)\[8,3\]\S* = all_gather", str(jax.make_jaxpr(each)(low, y)))
        assert gathered == [{"bfloat16": "bf16", "float16": "f16"}[low.dtype.name]]


def rows_for_ones_own_loss():
    x, _ = first("any")
    mine = mapped(lambda x: lax.psum(jnp.sum(jnp.sin(x @ backend.gather_rows(x, "data").T)), "data"), 4, P("data"), P())
    np.testing.assert_allclose(jax.jit(jax.grad(mine))(x), jax.grad(lambda x: jnp.sum(jnp.sin(x @ x.T)))(x), rtol=1e-12)
    low = mapped(lambda x: backend.gather_rows(x, "data")[None], 4, P("data"), P("data"))(x.astype(jnp.bfloat16))
    assert low.dtype == jnp.bfloat16
    assert np.array_equal(low[3], x.astype(jnp.bfloat16))


def updates():
    """DD-17: the same bits on all devices, and those of the union."""
    a = BATCHES[CASES.index("filled")]
    x, y, mask = jnp.asarray(a["x"]), jnp.asarray(a["kinds"]), jnp.asarray(a["mask"])

    def both(x, y, mask, **given):
        centers = backend.update_centers(TABLE, x, y, mask=mask, **given)
        moved = backend.update_oim_memory(TABLE, np.zeros((3, D)), np.array(1), x, y - 1, mask=mask, **given)
        return centers, *moved

    want, specs = jax.jit(both)(x, y, mask), (P("data"),) * 3
    for world in (1, 4):
        alike = jax.jit(mapped(partial(both, axis_name="data"), world, specs, (P(),) * 4))(x, y, mask)
        each = mapped(
            lambda *b: [v[None] for v in both(*b, axis_name="data")], world, specs, [P("data")] * 4, check=False
        )
        for one, found, other in zip(alike, jax.jit(each)(x, y, mask), want, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
            assert all(np.array_equal(found[0], copy) for copy in found)


def no_rows():
    """DD-7 where no device has a row; XLA compiles no `jax.shard_map` of empty arrays alone."""

    def every(x):
        a = {"x": x, "y": x, "z": x, "labels": jnp.zeros(len(x), int)}
        calls = [partial(CALLS[name], a, axis_name="data") for name in ("hard", "all", "semi", "circle", "triplet")]
        return [jnp.sum(call(reduction=reduction)) for call in calls for reduction in REDUCTIONS]

    assert not np.any(of_blocks(every, "data")(jnp.zeros((4, 0, D))))


def refusals():
    """DD-18, without an exchange."""
    x, y = first("any")
    hard = backend.batch_hard_triplet_loss
    with pytest.raises(ValueError, match=r"axis_name must name an axis that .* has bound, got 'data'"):
        hard(x, y, axis_name="data")
    with pytest.raises(TypeError, match="axis_name must be the name of an axis or a tuple of names, got list"):
        hard(x, y, axis_name=["data"])
    with pytest.raises(TypeError, match="axis_name must be"):
        backend.CircleLoss(axis_name=3)
    second = {"candidates": x, "candidate_labels": y}
    for world in (1, 4):
        each = mapped(lambda x: hard(x, y[: len(x)], axis_name="data", **second), world, P("data"), P(), check=False)
        with pytest.raises(ValueError, match="candidates must be left out with axis_name"):
            each(x)


def classes():
    """An axis is a static option of the pytree, which is made where none is bound."""
    x, y = first("any")
    for name in (n for n in dir(backend) if n.endswith("Loss")):
        loss = getattr(backend, name)(axis_name="data")
        leaves, shape = jax.tree.flatten(loss)
        assert "data" not in leaves
        assert jax.tree.unflatten(shape, leaves).axis_name == "data"
    loss = backend.BatchHardTripletLoss(axis_name="data")
    each = mapped(lambda x, y: lax.psum(loss(x, y), "data"), 4, (P("data"),) * 2, P())
    np.testing.assert_allclose(jax.jit(each)(x, y), backend.batch_hard_triplet_loss(x, y), rtol=1e-12)


OTHERS = (
    row_gradients_inside, two_axes, gradients_of_a_table, one_device, second_derivatives, narrow_rows,
    rows_for_ones_own_loss, updates, no_rows, refusals, classes,
)  # fmt: skip


def others():
    for fact in OTHERS:
        fact()


def in_a_process(*arguments):
    flags = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True,
        env={**os.environ, "XLA_FLAGS": flags},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]


def test_shares_and_gradients_over_devices_are_those_of_the_union():
    in_a_process("every_loss")


def test_what_else_the_page_says():
    in_a_process("others")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    globals()[sys.argv[1]](*sys.argv[2:])
