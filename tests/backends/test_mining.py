"""Mining: what can be tested of random draws without a shared generator, in the reference and in every backend.

Each check is a function of a wing and names its clauses; deliberately broken wings show that it can fail. The draws
are seeded. A test of uniformity has, over the choice of the seed, a false-alarm rate below 1e-6 (Laurent & Massart,
2000, lemma 1: P(chi2_k - k >= 2 sqrt(k x) + 2 x) <= exp(-x), here with x = ln 1e6).
"""

import os
import random
import warnings
from importlib import import_module
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from lossproof import reference
from lossproof.spec import page

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
LABELS = np.array([4, 4, 9, 4, 9, 7])
CHECKS = {}
NAMES = ("triplet_masks", "classify_triplets", "sample_triplets", "sample_pairs", "sample_active", "sample_negatives")


def make_wing(name):
    """Return a wing: its functions on numpy arrays, a random state from a seed, and the global states."""
    framework = pytest.importorskip({"reference": "numpy"}.get(name, name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TensorFlow says while it is imported is not ours to mend
        module = import_module("lossproof.reference" if name == "reference" else f"lossproof.backends.{name}")
    convert, state, world = {
        "reference": lambda: (np.asarray, np.random.default_rng, lambda: np.random.get_state()[1]),
        "torch": lambda: (
            framework.as_tensor,
            lambda seed: framework.Generator().manual_seed(seed),
            framework.get_rng_state,
        ),
        "tensorflow": lambda: (
            framework.constant,
            framework.random.Generator.from_seed,
            lambda: framework.random.get_global_generator().state,
        ),
        "jax": lambda: (framework.numpy.asarray, framework.random.key, lambda: 0),
    }[name]()

    def numpied(function):
        def call(*arrays, mask=None, **options):
            given = [convert(a) if isinstance(a, np.ndarray) else a for a in arrays]
            options = options if mask is None else {**options, "mask": convert(mask)}
            result = function(*given, **options)
            return tuple(map(np.asarray, result)) if isinstance(result, tuple) else np.asarray(result)

        return call

    functions = {name: numpied(getattr(module, name)) for name in NAMES}
    return SimpleNamespace(name=name, rng=state, world=lambda: np.asarray(world()).copy(), **functions)


def checks(*ids):
    def register(check):
        CHECKS[check.__name__] = (check, ids)
        return check

    return register


def assert_uniform(drawn, possible):
    """Chi-square of draws against the uniform distribution over what is possible; x = ln 1e6 as above."""
    rows, cells = np.reshape(drawn, (len(drawn), -1)), np.reshape(possible, (len(possible), -1))
    counts = (rows[:, None] == cells).all(-1).sum(0)
    assert counts.sum() == len(drawn), "something impossible was drawn"
    k, expected, x = len(possible) - 1, len(drawn) / len(possible), np.log(1e6)
    assert ((counts - expected) ** 2 / expected).sum() < k + 2 * np.sqrt(k * x) + 2 * x


def all_triplets(y):
    r = range(len(y))
    return [(a, p, n) for a, p, n in product(r, r, r) if a != p and y[a] == y[p] and y[a] != y[n]]


@checks("MI-9", "MI-10")
def check_triplets(wing):
    drawn = wing.sample_triplets(LABELS, 5200, wing.rng(1))
    assert drawn.shape == (5200, 3)
    assert_uniform(drawn, all_triplets(LABELS))


@checks("MI-11", "MI-12")
def check_pairs(wing):
    pairs, dissimilar = wing.sample_pairs(LABELS, 2001, wing.rng(2))
    assert dissimilar.dtype == bool
    np.testing.assert_array_equal(dissimilar, np.arange(2001) % 2 == 1)
    for kind in (False, True):
        possible = [(a, b) for a, b in product(range(6), repeat=2) if a != b and (LABELS[a] != LABELS[b]) == kind]
        assert_uniform(pairs[dissimilar == kind], possible)


@checks("MI-13")
def check_active(wing):
    terms = np.array([0.0, 2.0, np.nan, 1e-30, 0.5, 0.0])
    assert_uniform(wing.sample_active(terms, 600, wing.rng(3)), [1, 3, 4])
    assert wing.sample_active(0 * LABELS.astype(float), 2, wing.rng(3)).tolist() == [-1, -1]


@checks("MI-14")
def check_no_triplet(wing):
    for labels, n, draw in [
        (LABELS * 0, 1, wing.sample_triplets),
        (np.arange(6), 1, wing.sample_triplets),
        (np.arange(0), 1, wing.sample_triplets),
        (np.arange(6), 1, wing.sample_pairs),
        (LABELS * 0, 2, wing.sample_pairs),
    ]:
        with pytest.raises(ValueError, match=r"^labels must have a "):
            draw(labels, n, wing.rng(0))
    assert wing.sample_triplets(LABELS * 0, 0, wing.rng(0)).shape == (0, 3)
    assert wing.sample_pairs(LABELS * 0, 1, wing.rng(0))[0].shape == (1, 2)  # no dissimilar pair is asked for


LATTICE = np.random.default_rng(0).integers(-2, 3, (9, 2)).astype(float)  # squared distances tie, also at the margin
CLASSES = np.array([0, 1, 0, 1, 2, 0, 1, 3, 0])


def chosen_sets(x, y, margin, kinds, present):
    """Return the chosen set of each positive pair that has one, by the table of the page, on integers."""
    d = ((x[:, None] - x[None]) ** 2).sum(-1)
    sets = {}
    for a, p, n in all_triplets(y):
        kind = "easy" if d[a, n] >= d[a, p] + margin else "semi_hard" if d[a, n] > d[a, p] else "hard"
        if kind in kinds and present[[a, p, n]].all():
            sets.setdefault((a, p), set()).add(n)
    return sets


@checks("MI-15", "MI-17", "MI-19")
def check_chosen_sets(wing):
    everybody, some = np.ones(9, bool), np.arange(9) != 3
    x = np.where(np.arange(9)[:, None] == 5, np.nan, LATTICE)
    for kinds in [("semi_hard",), ("hard",), ("hard", "semi_hard"), ("easy",), ("easy", "hard")]:
        sets = chosen_sets(LATTICE, CLASSES, 4.0, kinds, everybody)
        for seed, far in ((4, 0.0), (5, 2.0**20)):
            a, p, n = wing.sample_negatives(LATTICE + far, CLASSES, wing.rng(seed), margin=4.0, kinds=kinds)
            assert list(zip(a, p, strict=True)) == sorted(sets)
            assert all(n[i] in sets[a[i], p[i]] for i in range(len(n)))
    sets = chosen_sets(LATTICE, CLASSES, 4.0, ("semi_hard",), some & (np.arange(9) != 5))
    runs = [
        wing.sample_negatives(np.where(some[:, None], x, v), CLASSES, wing.rng(6), margin=4.0, mask=some)
        for v in (0.0, np.nan)
    ]
    assert set(zip(*runs[0][:2], strict=True)) == set(sets)
    np.testing.assert_array_equal(*map(np.stack, runs))
    a, p, _ = wing.sample_negatives(LATTICE, CLASSES, wing.rng(7), margin=0.5, distance="euclidean")
    d = np.sqrt(((LATTICE[:, None] - LATTICE[None]) ** 2).sum(-1))
    assert {(i, j) for i, j, k in all_triplets(CLASSES) if d[i, j] < d[i, k] < d[i, j] + 0.5} == set(
        zip(a, p, strict=True)
    )


CROWD = np.append(np.zeros(40, int), np.arange(1, 9))  # 1560 positive pairs with d = 0, and one chosen set for all
LINE = np.append(np.zeros(40), [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0, 2.0])[:, None]


@checks("MI-16")
def check_negatives_are_uniform(wing):
    _, _, n = wing.sample_negatives(LINE, CROWD, wing.rng(8), margin=1.0)
    assert_uniform(n, range(41, 46))
    assert_uniform(n[:-1:2] * 100 + n[1::2], [i * 100 + j for i, j in product(range(41, 46), repeat=2)])


@checks("MI-18")
def check_size(wing):
    a, p, n = wing.sample_negatives(LATTICE, CLASSES, wing.rng(9), margin=4.0, size=99)
    sets = chosen_sets(LATTICE, CLASSES, 4.0, ("semi_hard",), np.ones(9, bool))
    assert [len(a), len(p), len(n)] == [99, 99, 99]
    assert list(zip(a, p, strict=True)) == sorted(sets) + [(-1, -1)] * (99 - len(sets))
    assert (n[len(sets) :] == -1).all()
    a, p, n = wing.sample_negatives(LINE, CROWD, wing.rng(10), margin=1.0, size=400)
    assert len({*zip(a, p, strict=True)}) == 400
    assert list(zip(a, p, strict=True)) == sorted(zip(a, p, strict=True))
    assert_uniform(a, range(40))


def draws(wing, rng):
    """Return every random function's result, flat."""
    results = [
        wing.sample_triplets(LABELS, 20, rng),
        *wing.sample_pairs(LABELS, 20, rng),
        wing.sample_active(LABELS.astype(float), 20, rng),
        *wing.sample_negatives(LINE, CROWD, rng, margin=1.0, size=400),
    ]
    return [r for r in results if r.dtype != bool]


@checks("MI-20", "MI-21")
def check_state(wing):
    before = [random.getstate()[1][:9], np.random.get_state()[1], wing.world()]
    rng, other = wing.rng(11), wing.rng(11)
    first = draws(wing, rng)
    after = [random.getstate()[1][:9], np.random.get_state()[1], wing.world()]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    random.seed(0)
    np.random.seed(0)
    second = draws(wing, rng)
    for one, two, three in zip(first + second, draws(wing, other) + draws(wing, other), second + first, strict=True):
        np.testing.assert_array_equal(one, two)
        assert wing.name == "jax" or (one != three).any()
    assert all((one != two).any() for one, two in zip(first, draws(wing, wing.rng(12)), strict=True))


@checks("MI-22")
def check_errors(wing):
    rng, negatives = wing.rng(0), {"margin": 1.0}
    for expected, call in [
        ("^n must be an integer", lambda: wing.sample_triplets(LABELS, 2.0, rng)),
        ("^n must be in", lambda: wing.sample_pairs(LABELS, -1, rng)),
        ("^rng must be a", lambda: wing.sample_triplets(LABELS, 2, 7)),
        ("^rng must be a", lambda: wing.sample_active(LINE[:, 0], 2, None)),
        ("^rng must be a", lambda: wing.sample_negatives(LINE, CROWD, random, **negatives)),
        ("^size must be in", lambda: wing.sample_negatives(LINE, CROWD, rng, size=-1, **negatives)),
        ("^distance must be one of", lambda: wing.sample_negatives(LINE, CROWD, rng, distance="p_norm", **negatives)),
        ("^margin must be in", lambda: wing.sample_negatives(LINE, CROWD, rng, margin=-1.0)),
        ("^labels must have shape", lambda: wing.sample_triplets(LABELS[:, None], 2, rng)),
        ("^terms must have", lambda: wing.sample_active(LABELS, 2, rng)),
        *(
            ("^kinds must be", lambda kinds=kinds: wing.sample_negatives(LINE, CROWD, rng, kinds=kinds, **negatives))
            for kinds in ((), "hard", ("hard", "hard"), ("soft",), None)
        ),
    ]:
        with pytest.raises((TypeError, ValueError), match=expected):
            call()


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["reference", "torch", "tensorflow", "jax"])
def test_wing_holds_its_clauses(name, check):
    wing = make_wing(name)
    if name != "jax":
        CHECKS[check][0](wing)
        return
    with import_module("jax").enable_x64(True):
        CHECKS[check][0](wing)


def by_anchor(labels, n, rng):  # every anchor is as likely, however many triplets it has
    found = all_triplets(labels)
    groups = [[t for t in found if t[0] == anchor] for anchor in sorted({a for a, _, _ in found})]
    return np.array([rng.choice(groups[i]) for i in rng.integers(len(groups), size=n)])


def nearest(embeddings, labels, rng, **options):
    a, p, n = reference.sample_negatives(embeddings, labels, rng, **options)
    return a, p, np.where(n >= 41, 41, n)


def with_boundary(embeddings, labels, rng, *, margin, **options):
    return reference.sample_negatives(embeddings, labels, rng, margin=margin + 1e-9, **options)


def first_picks(embeddings, labels, rng, *, size=None, **options):
    picks = np.stack(reference.sample_negatives(embeddings, labels, rng, **options))
    if size is None:
        return tuple(picks)
    return tuple(np.pad(picks[:, :size], ((0, 0), (0, max(0, size - picks.shape[1]))), constant_values=-1))


def self_positive(labels, n, rng):
    drawn = reference.sample_triplets(labels, n, rng)
    return np.where(np.arange(3) == 1, np.where(rng.random((n, 1)) < 0.01, drawn[:, :1], drawn[:, 1:2]), drawn)


BROKEN = {  # what is wrong: the function, and a check that sees it
    "anchors are uniform, triplets are not": ("sample_triplets", by_anchor, "check_triplets"),
    "one positive in a hundred is the anchor": ("sample_triplets", self_positive, "check_triplets"),
    "pairs of a kind are not in turn": (
        "sample_pairs", lambda *a: tuple(x[::-1] for x in reference.sample_pairs(a[0], a[1] + 1, a[2])), "check_pairs",
    ),
    "NaN counts as positive": (
        "sample_active", lambda t, n, rng: rng.choice(np.flatnonzero(~(t <= 0)), n) if t.any() else np.full(n, -1),
        "check_active",
    ),
    "a triplet is made up where there is none": (
        "sample_triplets", lambda y, n, rng: np.zeros((n, 3), int), "check_no_triplet",
    ),
    "the margin belongs to the semi-hard": ("sample_negatives", with_boundary, "check_chosen_sets"),
    "the nearest negative is taken": ("sample_negatives", nearest, "check_negatives_are_uniform"),
    "the first picks are kept": ("sample_negatives", first_picks, "check_size"),
    "the global state is read": (
        "sample_active", lambda t, n, rng: np.random.permutation(len(t))[np.zeros(n, int)], "check_state",
    ),
    "the state is not advanced": (
        "sample_active", lambda t, n, rng: np.random.default_rng(0).integers(len(t), size=n), "check_state",
    ),
    "a seed is taken for a state": (
        "sample_triplets", lambda y, n, rng: reference.sample_triplets(y, n, np.random.default_rng(rng)),
        "check_errors",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BROKEN)
def test_check_sees_a_broken_sampler(bug):
    name, function, check = BROKEN[bug]
    wing = make_wing("reference")
    setattr(wing, name, function)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        CHECKS[check][0](wing)


def test_every_clause_of_the_page_has_a_check_or_an_example():
    named = {clause for _, ids in CHECKS.values() for clause in ids}
    shown = {key for key, clause in page("mining").clauses.items() if clause.examples}
    assert named | shown == set(page("mining").clauses)


def test_jax_draws_under_jit_in_float32_with_a_raw_key():
    jax, wing = pytest.importorskip("jax"), import_module("lossproof.backends.jax")
    labels, rows = jax.numpy.asarray(LABELS), jax.numpy.asarray(LINE[-6:], "float32")

    @jax.jit
    def draw(labels, rows, key):
        return wing.sample_triplets(labels, 3, key), wing.sample_negatives(rows, labels, key, margin=1.0, size=4)

    triplets, _ = draw(labels, rows, jax.random.PRNGKey(0))
    assert {tuple(t) for t in triplets.tolist()} <= set(all_triplets(LABELS))
    assert (draw(labels * 0, rows, jax.random.PRNGKey(0))[0] == -1).all()  # MI-14: nothing is read under jit
    with pytest.raises(ValueError, match=r"^size must be given"):  # MI-18
        jax.jit(lambda key: wing.sample_negatives(rows, labels, key, margin=1.0))(jax.random.key(0))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_tensorflow_draws_in_a_function_of_an_unknown_batch(jit_compile):
    tf, wing = pytest.importorskip("tensorflow"), import_module("lossproof.backends.tensorflow")
    rng = tf.random.Generator.from_seed(0)
    signature = [tf.TensorSpec((None, 1), tf.float32), tf.TensorSpec((None,), tf.int64)]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def draw(rows, labels):
        return wing.sample_triplets(labels, 3, rng), wing.sample_negatives(rows, labels, rng, margin=1.0, size=4)

    triplets, _ = draw(LINE[-6:], LABELS)
    assert {tuple(t) for t in triplets.numpy().tolist()} <= set(all_triplets(LABELS))
    assert (draw(LINE[-6:], LABELS * 0)[0].numpy() == -1).all()  # MI-14
