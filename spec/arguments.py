"""The argument checks that the reference and every backend share, so that one mistake has one sentence.

They see types, shapes, dtype names and host numbers, never an array: a backend describes its own arrays.
Every sentence names the argument, the expectation and the value, in this order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from numbers import Integral, Real
from typing import Any, NoReturn

FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")
_HELD_BY = {"float16": FLOAT_DTYPES[2:], "bfloat16": FLOAT_DTYPES[2:], "float32": FLOAT_DTYPES[3:], "float64": ()}
Shape = tuple[int | None, ...]


def _refuse(error: type[Exception], name: str, expectation: str, got: object) -> NoReturn:
    raise error(f"{name} must {expectation}, got {got}")


def refuse_type(name: str, expectation: str, value: object) -> NoReturn:
    """Raise TypeError for an argument that is no array of the framework."""
    _refuse(TypeError, name, expectation, type(value).__name__)


def _check_float(name: str, dtype: str) -> None:
    """Check the dtype of an array of floats: CV-26, CV-45."""
    if dtype not in FLOAT_DTYPES:
        _refuse(TypeError, name, f"have dtype {', '.join(FLOAT_DTYPES[:-1])} or {FLOAT_DTYPES[-1]}", dtype)


def _differ(a: Shape, b: Shape) -> bool:
    """Whether two shapes differ as far as is known; None is an axis whose length is not known yet."""
    return len(a) != len(b) or any(m != n for m, n in zip(a, b, strict=True) if m is not None and n is not None)


def check_rows(rows: Mapping[str, tuple[Shape, str]]) -> None:
    """Check arrays of rows (..., D), given as name -> (shape, dtype name): CV-24, CV-25, CV-26."""
    (first, (shape, dtype)), *others = rows.items()
    if dtype in FLOAT_DTYPES and shape and shape[-1] != 0 and all(own == (shape, dtype) for _, own in others):
        return  # as nearly all are
    for name, (_, own) in rows.items():
        _check_float(name, own)
    if not shape:
        _refuse(ValueError, first, "have shape (..., D)", shape)
    for name, (own_shape, own) in others:
        if own != dtype:
            _refuse(TypeError, name, f"have the dtype of {first}, {dtype}", own)
        if _differ(own_shape, shape):
            _refuse(ValueError, name, f"have the shape of {first}, {shape}", own_shape)
    if shape[-1] == 0:
        _refuse(ValueError, first, "have at least one feature", f"shape {shape}")


INTEGER_DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def check_batch(name: str, shape: Shape, dtype: str) -> None:
    """Check one batch of rows (B, D): CV-25, CV-26, CV-34."""
    check_rows({name: (shape, dtype)})
    if len(shape) != 2:
        _refuse(ValueError, name, "have shape (B, D)", shape)


def check_labels(name: str, shape: Shape, dtype: str, rows: int | None) -> None:
    """Check labels, one integer a row: CV-31."""
    if dtype not in INTEGER_DTYPES:
        _refuse(TypeError, name, "have an integer dtype", dtype)
    if _differ(shape, (rows,)):
        _refuse(ValueError, name, f"have shape ({rows},)", shape)


def check_label_range(name: str, lowest: int, highest: int, low: int, high: int) -> None:
    """Check labels that are on the host, given their least and greatest, against [low, high]: CV-33."""
    if lowest < low or highest > high:
        wrong = lowest if lowest < low else highest
        hint = "; rows that take no part are named by mask" if name == "labels" and low == 0 else ""
        _refuse(ValueError, name, f"be in [{low}, {high}]", f"{wrong}{hint}")


def check_table(
    name: str, shape: Shape, dtype: str, like: str, width: int | None, like_dtype: str, *, empty: bool = False
) -> None:
    """Check a table of rows (C, D) against the rows it is compared with: CV-26, CV-34; `empty`: none is legal."""
    check_as_wide(name, dtype, like, like_dtype)
    if len(shape) != 2 or _differ(shape[1:], (width,)):
        _refuse(ValueError, name, f"have shape (C, {width}), as wide as {like}", shape)
    if shape[0] == 0 and not empty:
        _refuse(ValueError, name, "have at least one row", f"shape {shape}")


def check_candidates(given: Mapping[str, bool]) -> None:
    """Check which arguments of a second set are given: candidates with their labels, or none of them: PW-13."""
    if given["candidates"] and not given["candidate_labels"]:
        _refuse(ValueError, "candidate_labels", "be given with candidates", None)
    for name in (name for name, here in given.items() if here and not given["candidates"]):
        _refuse(ValueError, "candidates", f"be given with {name}", None)


def check_candidate_index(shape: Shape, dtype: str, rows: int | None) -> None:
    """Check which candidate is the anchor itself, one index an anchor: PW-13."""
    if dtype not in INTEGER_DTYPES:
        _refuse(TypeError, "candidate_index", "have an integer dtype", dtype)
    if _differ(shape, (rows,)):
        _refuse(ValueError, "candidate_index", f"have shape ({rows},)", shape)


def check_index_range(lowest: int, highest: int, candidates: int) -> None:
    """Check indices that are on the host, given their least and greatest, against [-1, candidates): PW-14."""
    if lowest < -1 or highest >= candidates:
        wrong = lowest if lowest < -1 else highest
        _refuse(ValueError, "candidate_index", f"be in [-1, {candidates})", wrong)


def check_unlabelled(value: Any, classes: int | None) -> None:
    """Check the label of rows without an identity, which is no index of the table: OI-11."""
    check_integer("unlabelled", value)
    if classes is not None and 0 <= value < classes:
        _refuse(ValueError, "unlabelled", f"be outside [0, {classes})", value)


def check_head(shape: Shape, dtype: str) -> None:
    """Check the place where a queue is written next: OI-21."""
    if dtype not in INTEGER_DTYPES:
        _refuse(TypeError, "head", "have an integer dtype", dtype)
    if shape != ():
        _refuse(ValueError, "head", "have shape ()", shape)


def check_distances(shape: Shape, dtype: str) -> None:
    """Check the distances of pairs, (N,): VE-7."""
    _check_float("distances", dtype)
    if len(shape) != 1:
        _refuse(ValueError, "distances", "have shape (N,)", shape)


def check_thresholds(shape: Shape, dtype: str, like_dtype: str) -> None:
    """Check thresholds of distances, () or (T,): VE-6."""
    if dtype != like_dtype:
        _refuse(TypeError, "thresholds", f"have the dtype of distances, {like_dtype}", dtype)
    if len(shape) > 1:
        _refuse(ValueError, "thresholds", "have shape () or (T,)", shape)


def check_ascending(ascending: bool, undefined: bool) -> None:
    """Check what thresholds on the host hold: VE-6."""
    if undefined or not ascending:
        _refuse(
            ValueError, "thresholds", "be ascending numbers", "NaN" if undefined else "a smaller one after a larger one"
        )


def check_as_wide(name: str, dtype: str, like: str, like_dtype: str) -> None:
    """Check that a table, or logits, have the dtype of the embeddings or one that holds its numbers: CV-26."""
    _check_float(like, like_dtype)  # or the table would be blamed for them
    if dtype != like_dtype and dtype not in _HELD_BY.get(like_dtype, ()):
        _refuse(TypeError, name, f"have the dtype of {like}, {like_dtype}, or a wider one", dtype)


def widest(*dtypes: str) -> str:
    """Return the widest of float dtypes that one call may share: CV-15, CV-26."""
    return max(dtypes, key=FLOAT_DTYPES.index)


def check_classes(name: str, shape: Shape, classes: int | None) -> None:
    """Check that a table has one row for each class of the logits: JO-8."""
    if _differ(shape[:1], (classes,)):
        _refuse(ValueError, name, f"have one row for each of the {classes} classes of logits", f"shape {shape}")


def check_targets(shape: Shape, dtype: str, logits: Shape, logits_dtype: str) -> None:
    """Check targets, one number for each logit: ST-14, CV-26."""
    check_as_wide("targets", dtype, "logits", logits_dtype)
    if _differ(shape, logits):
        _refuse(ValueError, "targets", f"have the shape of logits, {logits}", shape)


def check_target_range(least: float) -> None:
    """Check targets that are on the host, given their least: ST-15."""
    if least < 0:
        _refuse(ValueError, "targets", "be in [0, inf]", f"{least:g}; rows that take no part are named by mask")


def check_mask(name: str, shape: Shape, dtype: str, units: Shape) -> None:
    """Check booleans against the shape of the units: CV-29, CV-30."""
    if dtype != "bool":
        _refuse(TypeError, name, "have dtype bool", dtype)
    if _differ(shape, units):
        _refuse(ValueError, name, f"have shape {units}", shape)


def check_weights(name: str, shape: Shape, dtype: str, units: Shape, like: str, like_dtype: str) -> None:
    """Check weights, one number a unit, against the rows that they weigh: CV-45."""
    _check_float(name, dtype)
    check_as_wide(name, dtype, like, like_dtype)
    if _differ(shape, units):
        _refuse(ValueError, name, f"have shape {units}", shape)


def check_class_weights(name: str, shape: Shape, dtype: str, classes: int | None, like: str, like_dtype: str) -> None:
    """Check class weights, one number a class, against the logits (B, K): CE-17, ST-21."""
    check_weights(name, shape, dtype, (classes,), like, like_dtype)


def check_weight_range(name: str, lowest: float, highest: float) -> None:
    """Check weights that are on the host, given their least and greatest, which are NaN where one is: CV-46."""
    if not (lowest >= 0 and highest < inf):
        _refuse(ValueError, name, "be in [0, inf)", lowest if not lowest >= 0 else highest)


def check_same(values: Mapping[str, tuple[Shape, str]]) -> None:
    """Check float arrays of one shape and one dtype, given as name -> (shape, dtype name): CV-24, CV-26."""
    (first, (shape, dtype)), *others = values.items()
    _check_float(first, dtype)
    for name, (own_shape, own) in others:
        if own != dtype:
            _refuse(TypeError, name, f"have the dtype of {first}, {dtype}", own)
        if _differ(own_shape, shape):
            _refuse(ValueError, name, f"have the shape of {first}, {shape}", own_shape)


def check_count(name: str, value: object) -> None:
    """Check a number of things, an integer on the host and not negative: CV-28."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        _refuse(TypeError, name, "be an integer", repr(value))
    if value < 0:
        _refuse(ValueError, name, "be in [0, inf)", repr(value))


KINDS = ("easy", "semi_hard", "hard")  # the place of each is its code


def check_kinds(kinds: object) -> None:
    """Check a choice of one or more kinds of triplets: CV-27."""
    legal = isinstance(kinds, Sequence) and not isinstance(kinds, str) and len(kinds) == len(set(map(str, kinds)))
    if not legal or not kinds or any(kind not in KINDS for kind in kinds):  # type: ignore[attr-defined]
        _refuse(ValueError, "kinds", f"be a sequence of one or more of {', '.join(map(repr, KINDS))}", repr(kinds))


def refuse_labels(expectation: str, identities: int, rows: int) -> NoReturn:
    """Raise ValueError for labels among which there is nothing to draw."""
    _refuse(ValueError, "labels", f"have {expectation}", f"{rows} rows of {identities} identities")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Check an option that is one of a few words: CV-27."""
    if value not in choices:
        _refuse(ValueError, name, f"be one of {', '.join(map(repr, choices))}", repr(value))


def check_sizes(sizes: Sequence[int], processes: int, rank: int, rows: int) -> None:
    """Check the numbers of rows of each process of a group: DD-18."""
    if len(sizes) != processes or min(sizes) < 0:
        _refuse(ValueError, "sizes", f"be the numbers of rows of {processes} processes", list(sizes))
    if sizes[rank] != rows:
        _refuse(ValueError, "sizes", f"have the {rows} rows of this process at place {rank}", list(sizes))


def check_bool(name: str, value: object) -> None:
    """Check an option that is True or False: CV-27."""
    if value is not True and value is not False:
        _refuse(TypeError, name, "be True or False", repr(value))


def check_real(
    name: str, value: Any, low: float, *, high: float = inf, finite: bool = True, above: bool = False
) -> None:
    """Check a number on the host: CV-28. NaN is in no range, infinity only where `finite` is False.

    With `above` the range does not hold `low` itself.
    """
    if type(value) is float and low < value < inf and value <= high:
        return  # as nearly all are
    if not isinstance(value, Real) or isinstance(value, bool):
        _refuse(TypeError, name, "be a real number", repr(value))
    try:
        number = float(value)
    except OverflowError:
        number = inf if str(value)[0] != "-" else -inf
    if not low <= number <= high or (above and number == low) or (finite and number == inf):
        left, right = "(" if above else "[", ")" if finite and high == inf else "]"
        _refuse(ValueError, name, f"be in {left}{low:g}, {high:g}{right}", repr(value))


def check_integer(name: str, value: object) -> None:
    """Check an integer on the host: CV-28."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        _refuse(TypeError, name, "be an integer", repr(value))


def check_scalar(name: str, shape: Shape) -> None:
    """Check a number that is an array of the framework; its value is not read."""
    if shape != ():
        _refuse(ValueError, name, "be a number or have shape ()", f"shape {shape}")


DISTANCES = ("p_norm", "euclidean", "squared_euclidean", "cosine")
PAIR_DISTANCES = DISTANCES[1:]
REDUCTIONS = ("none", "sum", "mean", "mean_nonzero")
_P_NORM_OPTIONS = {"p": 2.0, "eps": 1e-6, "eps_at": "difference"}


def check_distance(distance: object, p: Any, eps: Any, eps_at: object, *, default_eps: float = 1e-6) -> None:
    """Check a distance and its options: CV-27, CV-28, DI-20, DI-21. An `eps` that is no host number is not read."""
    check_choice("distance", distance, DISTANCES)
    check_real("p", p, 1, finite=False)
    if isinstance(eps, Real) or not hasattr(eps, "shape"):
        check_real("eps", eps, 0)
    check_choice("eps_at", eps_at, ("difference", "root", "floor"))
    given = {"p": p, "eps": eps, "eps_at": eps_at}
    if distance != "p_norm":
        for name, default in {**_P_NORM_OPTIONS, "eps": default_eps}.items():
            if not isinstance(given[name], (Real, str)) or given[name] != default:
                _refuse(ValueError, name, f"be left at its default with distance={distance!r}", given[name])
    elif p == inf and eps_at != "difference" and not (isinstance(eps, Real) and eps == 0):
        _refuse(ValueError, "eps", f"be 0 with eps_at={eps_at!r} and p=inf", eps)


def check_pair_distance(distance: object, floor: Any = 0.0) -> None:
    """Check the distance of the pairs of a batch, and its floor: PW-1, PW-3, CV-28."""
    check_choice("distance", distance, PAIR_DISTANCES)
    check_real("floor", floor, 0)
    if distance == "cosine" and floor != 0:
        _refuse(ValueError, "floor", "be 0 with distance='cosine'", floor)


def check_pairwise(pairwise: object, max_positives: Any) -> None:
    """Check how the distances of a batch are computed, and the most positives of an anchor: PW-6, PW-8."""
    check_choice("pairwise", pairwise, ("gram", "direct"))
    if max_positives is None:
        return
    if not isinstance(max_positives, Integral) or isinstance(max_positives, bool):
        _refuse(TypeError, "max_positives", "be None or an integer", repr(max_positives))
    if max_positives < 1:
        _refuse(ValueError, "max_positives", "be at least 1", repr(max_positives))


def check_most_positives(most: int, max_positives: int) -> None:
    """Check labels that are on the host against the most positives that an anchor may have: PW-8."""
    if most > max_positives:
        _refuse(ValueError, "labels", f"give no anchor more than max_positives={max_positives} positives", most)


def check_soft_margin(soft_margin: object, margin: Any, default: float) -> None:
    """Check the switch of a soft margin, with which a margin has no part: CV-27, BH-4, TM-11, SH-12."""
    check_bool("soft_margin", soft_margin)
    if soft_margin and isinstance(margin, Real) and margin != default:  # an array is not read
        _refuse(ValueError, "margin", "be left at its default with soft_margin=True", margin)
