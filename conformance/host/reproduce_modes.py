"""How a line that reproduces a finding goes about each mode: what becomes of the call `f`, and of its gradient."""

# what torch's transforms begin with: other legal numbers like t, whose labels fall otherwise
_OTHERS = (
    "o = lambda t, i=0: t.flip(0) * (1 - i / 2) if t.is_floating_point() else t.roll(1 + i, 0) "
    "if t.dtype is torch.bool else t[:1].expand_as(t) if i else t.unique().repeat(len(t))[:len(t)]; "
)
_OF_TENSORS = "({n: t for n, t in k.items() if isinstance(t, torch.Tensor)}))(f); "
# in modes that have their own way to a gradient
DERIVED = {
    ("jax", "forward"): "print(f(**r{0}), jax.jacfwd(lambda r: (f(**r{0}) * jnp.array({1})).sum())(r))",
    ("torch", "forward"): "print(f(**r{0}), torch.func.jacfwd(lambda r: (f(**r{0}) * torch.tensor({1})).sum())(r))",
    (
        "torch",
        "reused",
    ): "k = dict(**{{}}{0}); [t.requires_grad_().register_hook(lambda g: 2 * g) for t in r.values()]; "
    "v = f(**r, **k); [t.copy_(~t if t.dtype is torch.bool else o(t)) for t in k.values() if isinstance(t, "
    "torch.Tensor) and not t.is_floating_point()]; g = torch.autograd.grad(v, list(r.values()), torch.tensor({1}, "
    "dtype=v.dtype).reshape(v.shape), create_graph=True, allow_unused=True); "
    "print(v, {{n: t if t is None else t / 2 for n, t in zip(r, g)}})",
    ("tensorflow", "graph"): "v = f(**r{0}); print(*tf.compat.v1.Session().run([v, dict(zip(r, tf.gradients("
    'v, list(r.values()), tf.constant({1}, v.dtype), unconnected_gradients="zero")))]))',
    ("tensorflow", "forward"): "j = lambda n, t: (lambda a: [a.__enter__(), a.jvp(f(**r{0}), "
    'unconnected_gradients="zero"), a.__exit__(None, None, None)][1])(tf.autodiff.ForwardAccumulator(r[n], t)); '
    "print(f(**r{0}), {{n: tf.reshape([tf.reduce_sum(j(n, tf.reshape(e, x.shape)) * {1}) "
    "for e in tf.unstack(tf.eye(x.shape.num_elements(), dtype=x.dtype))], x.shape) for n, x in r.items()}})",
}
_ALIKE = "a[jnp.zeros(len(a), int)]"  # other labels: all those of the first row
_JITTED = (
    "f = (lambda g: lambda **k: jax.jit(lambda a: g(**{**k, **a}))"
    '({n: a for n, a in k.items() if hasattr(a, "shape")}))(f); '
)
_ARRAYS_OF = '{n: a for n, a in k.items() if hasattr(a, "shape")}'
_OPTIONS = '{n: a for n, a in k.items() if not hasattr(a, "shape")}'
MODES = {
    ("torch", "stacked"): f"{_OTHERS}f = (lambda g: lambda **k: (lambda a: torch.func.vmap(lambda t: g(**{{**k, **t}}))"
    f"({{n: torch.stack([o(t), t, o(t, 1)]) for n, t in a.items()}})[1]){_OF_TENSORS}",
    ("torch", "traced"): f"{_OTHERS}f = (lambda g: lambda **k: (lambda a: torch.jit.trace(lambda *t: "
    "g(**{**k, **dict(zip(a, t))}), tuple(map(o, a.values())), check_trace=False)(*a.values()))" + _OF_TENSORS,
    ("torch", "unknown_batch"): f"{_OTHERS}f = (lambda g: lambda **k: (lambda a: torch.export.export("
    'type("M", (torch.nn.Module,), {"forward": lambda s, t: g(**{**k, **t})})(), '
    "({n: torch.cat([o(t), o(t), o(t)]) if n in @rows else t for n, t in a.items()},), dynamic_shapes=({n: "
    '{0: torch.export.Dim("batch")} if n in @rows else {} for n in a},)).module()(a))' + _OF_TENSORS,
    ("torch", "reused"): _OTHERS,
    ("torch", "strict"): "torch.autograd.set_detect_anomaly(True); torch.use_deterministic_algorithms(True); ",
    ("torch", "compiled"): "f = torch.compile(f, fullgraph=True, dynamic=False); ",
    ("torch", "captured"): 'f = torch.compile(f, fullgraph=True, dynamic=False, backend="aot_eager"); ',
    ("torch", "ambient"): 'f = torch.autocast("cpu", torch.bfloat16)(f); ',
    ("tensorflow", "compiled"): "f = tf.function(f, jit_compile=True); ",
    ("tensorflow", "unknown_batch"): "f = (lambda g: lambda **k: (lambda a, o: tf.function(lambda a: g(**a, **o), "
    "input_signature=[{n: tf.TensorSpec([None] * len(x.shape[:-1] if x.dtype.is_floating else x.shape) "
    "+ list(x.shape[-1:] if x.dtype.is_floating else []), x.dtype) for n, x in a.items()}])(a))("
    "{n: x for n, x in k.items() if tf.is_tensor(x)}, {n: x for n, x in k.items() if not tf.is_tensor(x)}))(f); ",
    (
        "tensorflow",
        "stacked",
    ): "s = lambda x: tf.stack([tf.reverse(x, [0]), x, tf.roll(x, 1, 0)] if x.dtype.is_floating "
    "else [tf.roll(x, 1, 0), x, tf.broadcast_to(x[:1], x.shape)]); "
    "f = (lambda g: lambda **k: tf.vectorized_map(lambda a: g(**{**k, **a}), "
    "{n: s(x) for n, x in k.items() if tf.is_tensor(x)})[1])(f); ",
    ("tensorflow", "graph"): "w = tf.Graph().as_default(); w.__enter__(); ",
    ("tensorflow", "strict"): "tf.debugging.enable_check_numerics(); ",
    ("tensorflow", "ambient"): 'import keras; keras.mixed_precision.set_global_policy("mixed_bfloat16"); ',
    ("jax", "compiled"): _JITTED,
    ("jax", "captured"): _JITTED,  # whose options not every version knows; they change no more than a rounding
    ("jax", "ambient"): 'jax.config.update("jax_default_matmul_precision", "bfloat16"); ',
    ("jax", "strict"): '[jax.config.update(f"jax_{s}", v) for s, v in dict(numpy_rank_promotion="raise",'
    ' numpy_dtype_promotion="strict", debug_nans=True, debug_infs=True).items()]; ',
    ("jax", "stacked"): f"s = lambda n, a: jnp.stack([jnp.roll(a, 1, 0), a, {_ALIKE}] if n in @rows else [a] * 3); "
    f"f = (lambda g: lambda **k: jax.vmap(lambda a: g(**a, **{_OPTIONS}))"
    f"({{n: s(n, a) for n, a in {_ARRAYS_OF}.items()}})[1])(f); ",
    ("jax", "unknown_batch"): 'from jax import export; b = export.symbolic_shape("rows"); '
    "s = lambda n, a: jax.ShapeDtypeStruct((*b, *a.shape[1:]) if n in @rows else a.shape, a.dtype); "
    f"f = (lambda g: lambda **k: export.export(jax.jit(lambda a: g(**a, **{_OPTIONS})))"
    f"({{n: s(n, a) for n, a in {_ARRAYS_OF}.items()}}).call({_ARRAYS_OF}))(f); ",
}
