"""Every loss of the JAX backend on a mesh of four devices, with each kind of axes, against the reference."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("jax")

PROGRAM = """
import sys
import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from jax_calls import BATCHED, CALLS, call, same, want

assert len(jax.devices()) == 4
kind = sys.argv[1]
if kind == "default":
    mesh = jax.make_mesh((4,), ("data",))
else:
    mesh = jax.make_mesh((4,), ("data",), axis_types=(getattr(AxisType, kind),))

def laid(inputs):
    specs = {n: P("data", *[None] * (a.ndim - 1)) if n in BATCHED else P(*[None] * a.ndim) for n, a in inputs.items()}
    return {n: jax.device_put(a, NamedSharding(mesh, specs[n])) for n, a in inputs.items()}

wrong = []
with jax.set_mesh(mesh):
    for name in CALLS if kind == "default" else ("hard", "all", "semi", "circle", "joint", "oim"):
        for compiled in (True, False) if name in ("hard", "center") else (True,):
            function, rows, rest = call(name, masked=name != "circle")
            step = lambda rows, rest: jax.value_and_grad(lambda rows: function(**rows, **rest))(rows)
            try:
                same((jax.jit(step) if compiled else step)(laid(rows), laid(rest)), want(name, rows, rest))
            except Exception as problem:
                wrong.append((name, compiled, type(problem).__name__, str(problem)[:300]))
print(*wrong, sep="\\n")
sys.exit(bool(wrong))
"""


def on_four_devices(program, *arguments):
    path = os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")])
    given = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=given)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize("kind", ["default", "Auto"])
def test_rows_spread_over_devices_give_what_they_give_together(kind):
    on_four_devices(PROGRAM, kind)


IN_SHARD_MAP = """
import jax
import numpy as np
from functools import partial
from jax.sharding import PartitionSpec as P
from jax_calls import BATCHED, call, want

mesh = jax.make_mesh((4,), ("data",))
with jax.set_mesh(mesh):
    for name in ("hard", "all", "semi", "circle", "center"):
        function, rows, rest = call(name)
        specs = tuple({n: P("data") if n in BATCHED else P() for n in part} for part in (rows, rest))
        each = jax.shard_map(lambda rows, rest: function(**rows, **rest)[None], in_specs=specs, out_specs=P("data"))
        laid = [{n: jax.device_put(a, jax.NamedSharding(mesh, s[n])) for n, a in part.items()}
                for part, s in zip((rows, rest), specs)]
        found = np.asarray(jax.jit(each)(*laid))
        for i in (0, 3):  # each device has two rows, and its own loss of them
            part = [{n: a[2 * i : 2 * i + 2] if n in BATCHED else a for n, a in p.items()} for p in (rows, rest)]
            np.testing.assert_allclose(found[i], want(name, *part)[0], rtol=2e-5, atol=1e-6, err_msg=name)
"""


def test_in_shard_map_each_device_has_the_loss_of_its_rows():
    on_four_devices(IN_SHARD_MAP)
