"""The line that shows a finding of a batch over processes: as people start such programs in each framework."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.host.ranks import AXIS, in_blocks, mask_of_all, own_rows, seed_in_blocks
from lossproof.spec import losses

Arrays = Mapping[str, str]


def launched(framework: str, code: str, case: Case) -> str:
    """Return the shell line that runs code in each process, or with as many devices."""
    world, quoted = len(case.split), shlex.quote(code)
    if framework == "torch":
        return f"python -m torch.distributed.run --nproc-per-node {world} --no-python python -c {quoted}"
    devices = f"XLA_FLAGS=--xla_force_host_platform_device_count={world} "
    return f"{devices if framework == 'jax' else ''}python -c {quoted}"


def filled(case: Case) -> Case:
    """Return the case with blocks of one size, as JAX has them: shorter ones are filled up with masked rows."""
    aligned, most, inputs = losses()[case.loss].aligned, max(case.split), dict(case.inputs)
    if len({*case.split}) > 1 and "mask" in losses()[case.loss].inputs:
        inputs.setdefault("mask", mask_of_all(inputs[aligned[0]]))
    spread = {name: in_blocks(a, case.split, most) if name in aligned else a for name, a in inputs.items()}
    cotangent = seed_in_blocks(np.asarray(1.0 if case.cotangent is None else case.cotangent), case.split, most)
    return Case(
        case.loss, spread, case.dtype, case.parameters, case.mode, case.order, cotangent, {}, case.dtypes,
        split=case.split,
    )  # fmt: skip


def torch_code(load: str, rows: Arrays, rest: Arrays, case: Case, *, keyword: bool, aligned: list[str]) -> str:
    """Return the code of one process of torch."""

    def of(name: str, text: str) -> str:
        return f"o({text})" if name in aligned else text

    given = ", ".join(f"{name}={of(name, text)}" for name, text in rows.items())
    others = "".join(f", {name}={of(name, text)}" for name, text in rest.items())
    seed = np.asarray(1.0 if case.cotangent is None else case.cotangent)
    seeded = f"o(torch.tensor({seed.tolist()}))" if seed.ndim else f"torch.tensor({seed.tolist()})"
    group = ", process_group=d.group.WORLD" if keyword else ""
    call = f"v = f(**r{others}{group}); print(q, v)"
    along = [np.asarray(case.tangents[name]).tolist() for name in case.tangents if name != "weights"]
    if case.order == 2 and len(along) == len(rows):
        parts = ", ".join(of(n, f"torch.tensor({a}, dtype=v.dtype)") for n, a in zip(rows, along, strict=True))
        call = (
            f"[x.requires_grad_() for x in r.values()]; {call}; x = list(r.values()); "
            f"g = torch.autograd.grad(v, x, {seeded}.to(v.dtype), create_graph=True); "
            f"print(q, torch.autograd.grad(sum((a * b).sum() for a, b in zip(g, [{parts}])), x, allow_unused=True))"
        )
    elif case.order and rows:
        call = (
            f"[x.requires_grad_() for x in r.values()]; {call}; v.backward({seeded}.to(v.dtype)); "
            "print(q, {k: x.grad for k, x in r.items()})"
        )
    start = "import torch, torch.distributed as d; torch.set_printoptions(precision=17); from math import inf, nan; "
    start += 'd.init_process_group("gloo"); '
    own = f"q, s = d.get_rank(), {list(case.split)}; o = lambda t: t.split(s)[q].clone(); "
    # What still holds the group when the interpreter ends may abort it: a thread of gloo that lets go of a tensor then.
    end = "import os, sys; sys.stdout.flush(); os._exit(0)"
    return f"{start}{own}{load}; r = dict({given}); {call}; {end}"


def jax_code(load: str, rows: Arrays, rest: Arrays, case: Case, *, keyword: bool, aligned: list[str]) -> str:
    """Return the code of all devices of JAX."""
    arrays = {**rows, **{n: text for n, text in rest.items() if text.startswith("jnp.")}}
    options = "".join(f", {n}={text}" for n, text in rest.items() if n not in arrays)
    axis = f', axis_name="{AXIS}"' if keyword else ""
    specs = ", ".join(f'{n}=P("{AXIS}")' if n in aligned else f"{n}=P()" for n in arrays)
    given = ", ".join(f"{n}={text}" for n, text in rows.items())
    fixed = ", ".join(f"{n}={text}" for n, text in arrays.items() if n not in rows)
    start = 'import jax, jax.numpy as jnp; jax.config.update("jax_enable_x64", True); from math import inf, nan; '
    mesh = f'mesh = jax.sharding.Mesh(jax.devices(), ("{AXIS}",)); '
    spread = f"g = jax.jit(jax.shard_map(lambda a: f(**a{options}{axis})[None], mesh=mesh, "
    spread += f'in_specs=(dict({specs}),), out_specs=P("{AXIS}"))); '
    seed = f"jnp.array({np.asarray(case.cotangent).tolist()}, v.dtype)"
    seed += ".reshape(v.shape)" if np.asarray(case.cotangent).ndim else " * jnp.ones_like(v)"
    ending = f"v, pull = jax.vjp(lambda r: g({{**r, **k}}), r); print(v, pull({seed}))"
    ending = ending if case.order and rows else "print(g({**r, **k}))"
    start += f"from jax.sharding import PartitionSpec as P; {mesh}{load}; r = dict({given}); k = dict({fixed}); "
    return start + spread + ending


def tensorflow_code(load: str, parts: Sequence[tuple[Arrays, Arrays]], case: Case, *, keyword: bool) -> str:
    """Return the code of all replicas of TensorFlow; `parts` are the rows and the rest of each."""
    world = len(case.split)
    held = ", ".join(f"dict({', '.join(f'{n}={t}' for n, t in rows.items())})" for rows, _ in parts)
    beside = ", ".join(f"dict({', '.join(f'{n}={t}' for n, t in rest.items())})" for _, rest in parts)
    replicas = ", across_replicas=True" if keyword else ""
    cotangent = np.asarray(1.0 if case.cotangent is None else case.cotangent)
    seeds = [own_rows(cotangent, case.split, i).tolist() if cotangent.ndim else float(cotangent) for i in range(world)]
    if case.order and parts[0][0]:
        seed = "tf.reshape(tf.constant(c[i], v.dtype), tf.shape(v))"
        body = f"(lambda v: (v, t.gradient(v, R[i], {seed})))(f(**R[i], **K[i]{replicas}))"
        body = f"(lambda t: [t.__enter__(), t.watch(R[i]), {body}][-1])(tf.GradientTape())"
    else:
        body = f"f(**R[i], **K[i]{replicas})"
    return (
        "import tensorflow as tf; from math import inf, nan; "
        'tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], '
        f"[tf.config.LogicalDeviceConfiguration()] * {world}); "
        f's = tf.distribute.MirroredStrategy([f"CPU:{{i}}" for i in range({world})], '
        f"cross_device_ops=tf.distribute.ReductionToOneDevice()); {load}; R = [{held}]; K = [{beside}]; c = {seeds}; "
        f"print(s.run(lambda: (lambda i: {body})(tf.distribute.get_replica_context().replica_id_in_sync_group)))"
    )
