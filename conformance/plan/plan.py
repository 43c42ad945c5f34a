"""The plan: which probes are run for a loss. The conventions bring most of them; each loss adds its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.plan.cases.errors import wrongs
from lossproof.conformance.plan.probe import Probe
from lossproof.spec import clauses, functions, losses, vectors

MODES = {  # mode -> share of the usual number of structures; what costs a compilation comes last
    "eager": 0.3,
    "functional": 1.0,
    "vectorised": 1.0,
    "alone": 0.5,
    "stacked": 0.5,
    "traced": 0.5,
    "forward": 0.5,
    "graph": 0.5,
    "unknown_batch": 0.34,
    "compiled": 0.5,
}
FILLS = 4  # sets of numbers for each structure: a structure may cost a compilation, a set of numbers does not


def modules(only: Collection[str] = ()) -> Mapping[str, Any]:
    """Return, for each loss or these only, its space of cases, its boundary cases and its probes in one namespace."""
    found = {}
    for loss, page in losses().items():
        if only and loss not in only:
            continue
        parts = [
            importlib.import_module(f"lossproof.conformance.plan.cases.{page.name}{suffix}")
            for suffix in ("", "_boundaries", "_probes")
        ]
        found[loss] = SimpleNamespace(**{name: thing for part in parts for name, thing in vars(part).items()})
    return found


def plan(loss: str, module: Any) -> list[Probe]:
    """Return the probes of a loss, in the order in which they are run."""
    errors = [Probe(loss, "errors", clause, label) for clause, label in wrongs(loss)]
    return [*_examples(loss), *module.probes(), *errors, *_conventions(loss, module), *_vectors(loss)]


def plan_of_function(name: str) -> list[Probe]:
    """Return the probes of a function that is no loss: the examples of each clause, then drawn calls."""
    own = [c.id for c in clauses().values() if any(example.function == name for example in c.examples)]
    examples = [Probe(name, "functions", clause) for clause in own]
    return [*examples, Probe(name, "function_purity", "CV-21"), *_drawn(name, own[0]), *_kept(name), *_refused(name)]


def _drawn(name: str, clause: str) -> Iterator[Probe]:
    """Yield the probes of drawn calls: in each dtype, of every size, with labels of every integer dtype."""
    entry, drawn = functions()[name], {"drawn": True}

    def probe(clause: str, label: str, effort: float = 1.0, **options: Any) -> Probe:
        return Probe(name, "functions", clause, label, options=drawn | options, effort=effort)

    yield probe(clause, "drawn", plain=True, many=True)
    if any(given["kind"] == "float" for given in entry["inputs"].values()):
        yield probe(clause, "drawn float32", 0.5, dtype="float32", lenient=True)
        for half in HALVES:
            yield probe("CV-17", f"drawn {half}", dtype=half, lenient=True, many=True)
    for returned, kept in entry["returns"].items():
        if "like" in kept:
            other = {"integers": True} if kept["kind"] == "integer" else {"dtype": "float16"}
            yield probe(kept["clause"], f"dtype of {returned}", 0.25, lenient=True, sizes={"B": 3}, **other)
    for axis, own in entry.get("empty", {}).items():
        yield probe(own, f"{axis} = 0", 0.25, sizes={axis: 0})
    if "thresholds" in entry["inputs"]:  # more pairs of a kind than 16 bits count
        yield probe("VE-5", "many pairs", 0.01, sizes={"N": 100_000, "T": 8})
    if "labels" in entry["inputs"]:
        yield probe("CV-31", "integers of every dtype", 0.5, integers=True, lenient=True, sizes={"B": 9})


def _kept(name: str) -> Iterator[Probe]:
    """Yield the probes of what a call leaves alone."""
    entry = functions()[name]
    if "constant" in entry:
        yield Probe(name, "function_purity", entry["constant"], "constant", options={"constant": True})
    for returned, kept in entry["returns"].items():
        if "unmet" in kept:
            yield Probe(name, "function_purity", kept["unmet"], "unmet", options={"unmet": returned})


def _refused(name: str) -> Iterator[Probe]:
    """Yield the probes of calls that are wrong."""
    for clause, label in wrongs(name):
        yield Probe(name, "refusals", clause, label, options={"wrong": True})
    for key, given in functions()[name]["inputs"].items():
        if given["kind"] == "label" and "range" in given:
            yield Probe(name, "refusals", "CV-33")
        if given["kind"] == "index":
            yield Probe(name, "refusals", given["clause"], options={"index": key})


def everything() -> list[Probe]:
    """Return every probe there is, of the losses and of the functions."""
    found = modules()
    return [
        *(p for loss in losses() for p in plan(loss, found[loss])),
        *(p for name in functions() for p in plan_of_function(name)),
    ]


def _examples(loss: str) -> Iterator[Probe]:
    for clause in clauses().values():
        if any(example.loss == loss and not example.raises for example in clause.examples):
            yield Probe(loss, "examples", clause.id)


def _vectors(loss: str) -> Iterator[Probe]:
    for clause in dict.fromkeys(vector.clauses[0] for vector in vectors(loss)):
        yield Probe(loss, "vectors", clause)
        yield Probe(loss, "vectors", clause, "copies", options={"copies": True})


def _conventions(loss: str, module: Any) -> Iterator[Probe]:
    """Yield the probes of the conventions, as far as the loss has the fields they vary."""
    basic, space = module.BASIC, module.SPACE
    page = losses()[loss]
    reductions = tuple(page.front.get("reductions", ()))
    every = {"reduction": reductions} if reductions else {}
    choices = {name: space[name] for name in ("distance", "p", "swap", *module.VARIED) if name in space}
    own = {"own_clause": True}
    few = getattr(module, "FEW_ROWS", ((2, 3), (5, 4)))  # a batch of two rows may have no term that is not 0

    def probe(check: str, clause: str, label: str = "", effort: float = 1.0, options: Any = None, **vary: Any) -> Probe:
        known = {n: _possible(n, values, space) for n, values in vary.items() if n in space}
        return Probe(loss, check, clause, label, known, options or {}, effort)

    clause_of = {"none": "CV-1", "sum": "CV-2", "mean": "CV-3", "mean_nonzero": "CV-4"}
    varied = {name: space[name] for name in module.VARIED if name in space}
    for reduction in reductions:
        masks = (None, "some", *(("nothing",) if reduction in ("none", "sum") else ()))  # of a mean, CV-5 says it
        fields = {**basic, **varied, "shape": space["shape"], "reduction": (reduction,), "mask": masks}
        yield probe("reductions", clause_of[reduction], **fields)
    means = tuple(r for r in reductions if r.startswith("mean"))
    for clause, check in (("CV-5", "value"), ("CV-6", "gradient")):
        yield probe(check, clause, "no rows", options=own, reduction=means, shape=((0, 3),), **varied)
        yield probe(check, clause, "all masked", options=own, reduction=means, mask=("nothing",), **varied)
    masked = {**basic, "shape": ((5, 4), (7, 2)), "mask": ("some",), **every}
    yield probe("masking", "CV-7", options=own, **masked)
    yield probe("masking", "CV-8", **masked | choices)
    yield probe("masking", "CV-9", **masked | choices)
    yield probe("masking", "CV-9", "half rows", 0.5, **masked | {"dtype": HALVES})
    compiled = {"shape": ((5, 4),), "mode": ("compiled",)}  # another path may mask, where no content can be looked at
    yield probe("masking", "CV-9", "compiled", 0.34, **masked | compiled)
    mixed = {"shape": ((5, 4), (2, 3)), "dtype": space["dtype"], **choices}
    yield probe("nan", "CV-10", effort=2.0, **mixed | every)
    if hasattr(module, "unspecified"):  # otherwise one row reaches every term
        yield probe("nan", "CV-11", **mixed | every)
        yield probe("nan", "CV-12", effort=4.0, **mixed | {"reduction": ("none",)})
    if "kappa_second" in page.front["accuracy"]:
        yield probe("second_order", "CV-14", **mixed | {"swap": (False,), "eps": space.get("eps", ())[:2]})
        varied = {**mixed, **every, "mask": (None, "some"), "p": (2.0, 3.0)}
        yield probe("second_order", "CV-14", "swap", **varied | {"swap": (True,)})
        for placed in ("root", "floor"):
            at = {"distance": ("p_norm",), "eps_at": (placed,), "eps": (0.25, 1e-6)}
            yield probe("second_order", "CV-14", placed, 0.5, **varied | at)
    if "labels" in page.inputs:
        relation = {"relation": "relabelling"}
        if not page.inputs["labels"].get("range"):
            named = {**basic, "shape": ((5, 4), (7, 2)), **every}
            yield probe("invariances", "CV-32", options=relation, **named)
            yield probe("invariances", "CV-32", "masked", 0.34, relation, **named | {"mask": ("some",)})
            yield probe("invariances", "CV-32", "half rows", 0.34, relation, **named | {"dtype": HALVES})
            yield probe("invariances", "CV-31", "ends of every integer dtype", 0.34, {"relation": "ends"}, **named)
        else:
            wrong = {"shape": ((5, 4), (7, 2)), "reduction": ("none", "mean")}
            wrong |= {n: space[n] for n in ("unlabelled",) if n in space}
            yield probe("labels", "CV-33", **{**basic, **wrong})
            yield probe("labels", "CV-33", "ends of every integer dtype", 0.34, {"ends": True}, **{**basic, **wrong})
            wide = {"classes": (300,)} if "classes" in space else {"shape": ((5, 300),)}
            for end in ("int8", "uint8"):  # the greatest label of a byte is a row of a table of 300
                highest = {"relation": "integers", "structure": {"highest": end}}
                yield probe("invariances", "CV-31", f"the highest {end}", 0.34, highest, **{**basic, **wide})
            if "classes" in space:
                yield probe("labels", "CV-33", "one class", 0.5, **{**basic, **wrong, "classes": (1,)})
            yield probe("labels", "CV-33", "compiled", 0.17, **{**basic, **wrong, "mode": ("compiled",)})
        yield probe("invariances", "CV-31", "integers", 0.34, {"relation": "integers"}, **basic)
    numbers = [n for n, entry in page.parameters.items() if entry["kind"] == "real" and n in space and n != "p"]
    options = {**choices, **{n: space[n] for n in numbers}, **every, "mask": (None, "some")}
    yield from _precision(space, probe, getattr(module, "FEW_ROWS", ((1, 1), (1, 2), (2, 3))), options)
    many = getattr(module, "MANY", (601, 2))
    counted = getattr(module, "COUNTED", (many, many if "MANY" in vars(module) else (2051, 2)))
    yield from _large(space, probe, basic, many, counted)
    if "..." in next(iter(page.inputs.values()))["shape"]:
        axes = {"shape": ((2, 3, 4), (2, 2, 2)), "mask": (None, "some"), **choices, **every}
        yield probe("reductions", "CV-24", "batch axes", 2.0, **axes)
    for dtype in ("float64", "float32", *HALVES):
        yield probe("interface", "CV-18", dtype, 0.5, dtype=(dtype,), **every)
    if wider := page.tables:
        for clause in ("CV-15", "CV-16", "CV-18"):
            vary = {"shape": few[-1:], "dtype": space["dtype"], **every, "mask": (None, "some")}
            yield probe("widths", clause, f"wider {' and '.join(wider)}", 0.34, **vary)
    yield probe("determinism", "CV-21", effort=2.0, mask=(None, "some"), **mixed | every)
    if module.GRADIENT_BOUNDARIES:
        yield probe("determinism", "CV-21", "ties", options={"ties": True})
    for mode, effort in MODES.items():
        if mode == "vectorised" and not getattr(module, "VECTORISED", True):
            continue  # a batch is no stack of calls
        if mode == "alone" and sum(entry.get("differentiable", False) for entry in page.inputs.values()) == 1:
            continue
        fields = {**choices, "p": (2.0, 1.0, 3.0), "shape": few[-1:], **every, "mask": (None, "some")}
        if mode == "vectorised":
            fields |= {"reduction": ("none",), "shape": few, "mask": (None,)}
        if mode in ("stacked", "unknown_batch") and means:  # where rows are counted, a count goes wrong
            fields |= {"reduction": means}
        yield probe("compiled", "CV-22", mode, effort, **fields, mode=(mode,))
    strided = {"mode": ("strided",), "shape": ((5, 4), (2, 3), (7, 2)), "mask": space["mask"], **choices, **every}
    yield probe("compiled", "CV-35", **strided)
    ambient = {"mode": ("ambient",), "dtype": ("float32", "float16"), **choices, "p": (2.0, 1.0, 3.0)}
    yield probe("compiled", "CV-20", "ambient", **ambient)
    yield probe("compiled", "CV-36", "strict", 0.5, **{**choices, **every, "mode": ("strict",), "mask": (None, "some")})


def _large(
    space: Mapping[str, Any], probe: Callable[..., Probe], basic: Any, many: Any, counted: Any
) -> Iterator[Probe]:
    """Yield the probes of batches that are worked on in blocks, counted in small integers, or far from the origin."""
    large = {"large": True}
    classes = {"classes": (300,)} if "classes" in space else {}
    rows = {**basic, "shape": (many,), "reduction": ("mean",), "mask": ("some",), **classes}
    ids = "identities" in space and not classes
    most, few = ({"identities": (value,)} if ids else {} for value in ("many rows", "few"))
    summed = {"reduction": ("sum",)}
    yield probe("precision", "CV-15", "many rows", 0.17, large, **rows | most)
    yield probe("precision", "CV-15", "many rows, summed", 0.17, large, **rows | few | summed)  # few: fewer near ties
    yield probe("precision", "CV-16", "many rows", 0.17, large, **rows | most | summed)
    means = {"reduction": tuple(r for r in space.get("reduction", ()) if r.startswith("mean"))}
    for half, shape in zip(("bfloat16", "float16"), counted, strict=True):  # more terms than the format can count
        fields = {"dtype": (half,), "shape": (shape,), "mask": (None,)}
        yield probe("precision", "CV-17", f"many rows, {half}", 0.34, large, **rows | most | means | fields)
    if "offset" in space:
        far = rows | few | {"shape": ((33, 2),), "offset": (1000.0,), "dtype": ("float32",)}  # cdist expands from 26
        yield probe("precision", "CV-15", "more rows far off", 0.34, large, **far)
    yield probe("precision", "CV-15", "wide rows", 0.34, large, **{**basic, "shape": ((5, 130),), "offset": (1000.0,)})
    yield probe(
        "precision", "CV-16", "wide rows", 0.34, large | {"own_clause": True}, **{**basic, "shape": ((5, 130),)}
    )


def _precision(space: Mapping[str, Any], probe: Callable[..., Probe], few: Any, options: Any) -> Iterator[Probe]:
    """Yield the probes of the budgets, where they are sharp."""
    sharp = {
        "shape": few,
        "dtype": space["dtype"],
        "margin": (1e-3, 0.2),
        "distance": space.get("distance", ()),
        "p": (2.0, 1.0),
    }
    row = ("p_norm", "euclidean", "squared_euclidean")
    yield probe("precision", "CV-15", effort=1.5, **sharp)
    if "offset" in space:
        far = {"shape": ((2, 3), (5, 4)), "offset": (100.0, 1000.0), "eps": (0.0, 1e-6), "distance": row}
        yield probe("precision", "CV-15", "far from the origin", effort=3.0, **sharp | far)
        sharp |= {"offset": (0.0, 100.0), "distance": row}
    yield probe("precision", "CV-16", effort=1.5, **sharp)
    if "offset" in space:  # rows in units of their own size
        ends = {"scale": (-40, 40), "dtype": space["dtype"], "distance": ("p_norm", "euclidean"), "p": (2.0, 1.0)}
        ends["reduction"] = ("none", "mean_nonzero")
        yield probe("precision", "CV-15", "tiny and huge rows", **ends)
        yield probe("precision", "CV-16", "tiny and huge rows", **ends)
    for half in HALVES:
        fields = {"dtype": (half,), "shape": ((2, 3), (5, 4)), "p": (2.0, 1.0), "margin": (1.0, 0.2)}
        yield probe("precision", "CV-17", half, **fields)
        yield probe("precision", "CV-17", f"{half}, every option", **{**options, **fields})
        yield probe("precision", "CV-16", half, **fields)
    extremes = {"distance": space.get("distance", ()), "p": space.get("p", ()), "reduction": ("none", "mean")}
    yield probe("precision", "CV-19", dtype=space["dtype"], **extremes)


def _possible(name: str, values: Any, space: Mapping[str, Any]) -> Any:
    """Return those values that the loss has at all; other fields than these take any number."""
    if name not in ("distance", "p", "reduction", "swap"):
        return values
    return tuple(value for value in values if value in space[name]) or space[name][:1]
