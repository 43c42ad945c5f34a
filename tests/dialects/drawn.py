"""A call of a library and ours of its dialect on the same drawn arrays: values and gradients."""

import numpy as np

from lossproof.backends.migration import dialect as dialect_of
from lossproof.spec import losses
from lossproof.spec.dialect import value_of

BATCHES = {
    "plain": (8, [0, 0, 0, 1, 1, 2, 2, 1], lambda rows: rows),
    "unit rows": (8, [0, 1, 0, 1, 2, 2, 3, 3], lambda rows: rows / np.linalg.norm(rows, axis=-1, keepdims=True)),
    "singletons": (9, [0, 0, 0, 1, 1, 2, 2, 3, 4], lambda rows: rows),
}
CLASSES, WIDTH = 5, 4


def arrays_of(dialect, batch, seed, setting):
    """Return the library's own arrays by name, and the names of those that have a gradient."""
    size, labels, shaped = BATCHES[batch]
    rng, page, convert = np.random.default_rng(seed), losses()[dialect.loss], setting.convert
    names = {page_name: own for own, page_name in dialect.arguments.items()}
    found, derived = {}, []
    for name, entry in page.inputs.items():
        optional = entry.get("optional") and name not in names
        if optional or (convert.get("rows") == "distances" and name not in names):
            continue
        if name == "dissimilar":
            same = rng.random(size) < 0.5
            value = {"similar": same.astype("int64"), "sign": np.where(same, 1, -1)}.get(convert.get("labels"), ~same)
        elif entry["kind"] == "label":
            value = np.array(labels)
        elif entry["kind"] == "weight":
            value = rng.random(CLASSES) + 0.5
        elif name == "class_weights":
            value = rng.normal(size=(WIDTH, CLASSES) if convert.get("table") == "columns" else (CLASSES, WIDTH))
        elif name == "logits":
            value = rng.normal(size=(size, CLASSES))
        elif name == "targets":
            value = rng.dirichlet(np.ones(CLASSES), size)
        else:
            value = shaped(rng.normal(size=(size, WIDTH)))
            value = value[:, 0] ** 2 if convert.get("rows") == "distances" else value
        own = names.get(name, name)
        found[own] = value
        derived += [own] if entry["kind"] == "float" else []
    return found, derived


def options_of(dialect):
    """Return the options to try: the defaults, and each option with each of its values."""
    page = losses()[dialect.loss].parameters
    given = {name: 0.5 for name in dialect.options if name not in dialect.defaults}
    tried = [given]
    for name in dialect.options:
        option, times = dialect.scaled(name)
        entry = page[option]
        if entry["kind"] == "real":
            value = 1.5 if option == "p" else 0.25
            tried.append({**given, name: value if times is None else value / times})
        elif entry["kind"] == "bool":
            tried += [{**given, name: True}, {**given, name: False}]
        else:
            limits = dialect.limits.get(option, [c for c in entry["choices"] if c != "mean_nonzero"])
            tried += [{**given, name: choice} for choice in limits]
    for name, words in dialect.values.items():
        tried += [{**given, name: value_of(word)} for word in words]
    return [own for own in tried if not dialect.setting(**own).departs]


def torch_pair(dialect, own, batch, seed):
    """Return (value, gradients) of the library's call and of ours, in torch."""
    import torch

    call = dialect_of(f"{dialect.library}=={dialect.tested[0]}", dialect.name, **own)
    arrays, derived = arrays_of(dialect, batch, seed, call.setting)
    space = {}
    exec(f"import torch; from math import inf, nan; {dialect.imports}", space)
    wide = torch.float64 if "float64" in dialect.limits.get("dtype", ["float64"]) else torch.float32

    def result(function):
        given = {name: torch.tensor(array) for name, array in arrays.items()}
        given |= {n: t.to(wide) for n, t in given.items() if t.is_floating_point()}
        for name in derived:
            given[name].requires_grad_()
        value = function(given)
        value.sum().backward()
        return value.detach().numpy(), {name: given[name].grad.numpy() for name in derived}

    there = result(lambda given: eval(dialect.text(**own), {**space, **given}))
    return there, result(lambda given: call.on("torch")(**given))


PAIRS = {"torch": torch_pair}
