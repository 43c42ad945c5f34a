"""Where JAX's losses stand: in `shard_map`, under maps over a mesh, in eager calls, and under JAX's own checks."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from jax.experimental import checkify  # noqa: E402
from jax.sharding import Mesh  # noqa: E402
from jax.sharding import PartitionSpec as P  # noqa: E402

import lossproof.backends.jax as backend  # noqa: E402

X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
Y = np.array([0, 0, 0, 1, 1, 2])
MINED = ["batch_hard_triplet_loss", "batch_all_triplet_loss", "semi_hard_triplet_loss", "circle_loss"]
every_mined = pytest.mark.parametrize("name", MINED)


def loss(name, **options):
    own = {"gamma": 8.0} if name == "circle_loss" else {}
    return lambda x, y=Y, **more: getattr(backend, name)(x, y, **own, **options, **more)


def close(found, want):
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not hasattr(jax, "shard_map"), reason="it had another name")
@every_mined
@pytest.mark.parametrize("labels", [P(), P("i")], ids=["the same everywhere", "each its own"])
def test_in_shard_map_labels_may_be_the_same_on_every_device(name, labels):
    def local(x, y):
        return jax.value_and_grad(loss(name))(x, y)

    mesh, places = Mesh(np.array(jax.devices()[:1]), ("i",)), {"in_specs": (P("i"), labels)}
    value = jax.shard_map(lambda x, y: local(x, y)[0][None], mesh=mesh, out_specs=P("i"), **places)
    gradient = jax.shard_map(lambda x, y: local(x, y)[1], mesh=mesh, out_specs=P("i"), **places)
    want = local(X, Y)
    close(jax.jit(value)(X, Y)[0], want[0])
    close(jax.jit(gradient)(X, Y), want[1])


@pytest.mark.skipif(not hasattr(jax, "shard_map"), reason="it had another name")
@pytest.mark.parametrize("name", MINED[:3])
def test_in_shard_map_the_margin_alone_may_differ(name):
    mesh = Mesh(np.array(jax.devices()[:1]), ("i",))
    found = jax.shard_map(
        lambda margin: loss(name)(X, margin=margin[0])[None], mesh=mesh, in_specs=P("i"), out_specs=P("i")
    )
    close(jax.jit(found)(jnp.array([0.5]))[0], loss(name)(X, margin=0.5))


@pytest.mark.skipif(not hasattr(jax, "set_mesh"), reason="there is no explicit mesh")
@every_mined
def test_a_stack_of_batches_may_lie_on_a_mesh(name):
    with jax.set_mesh(jax.make_mesh((1,), ("i",))):
        rows, labels = (jax.device_put(np.stack([a, a]), P("i")) for a in (X, Y))
        found = jax.jit(jax.vmap(loss(name)))(rows, labels)
    close(found, np.full(2, loss(name)(X)))


@pytest.mark.parametrize(
    "call",
    [
        *(loss(name) for name in MINED),
        *(loss(name, pairwise="direct") for name in MINED[1:3]),
        lambda x: backend.update_oim_memory(X[:3], X[3:5], np.array(0, np.int32), x, Y),
    ],
    ids=[*MINED, "batch_all direct", "semi_hard direct", "update_oim_memory"],
)
def test_the_second_eager_call_compiles_nothing(call):
    compiled = []
    jax.block_until_ready(call(X))

    def heard(event, *_, **__):
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        jax.block_until_ready(call(X + 1))
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)
    assert not compiled


@every_mined
def test_no_index_is_out_of_bounds(name):
    error, value = checkify.checkify(jax.jit(loss(name)), errors=checkify.index_checks)(X)
    assert error.get() is None
    close(value, loss(name)(X))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, np.inf])
def test_no_rank_is_promoted(p):
    with jax.numpy_rank_promotion("raise"):
        value = backend.triplet_margin_loss(X[:5, :3], X[1:, :3], X[::-1][:5, :3], p=p)
    close(value, backend.triplet_margin_loss(X[:5, :3], X[1:, :3], X[::-1][:5, :3], p=p))
