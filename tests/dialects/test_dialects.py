"""The files of dialects keep to their schema and to the pages, and `lossproof.dialect` answers or says why not."""

import copy
import math
from importlib.resources import as_file, files

import numpy as np
import pytest

import lossproof
from lossproof.conformance.host.dialect_files import DialectError, checked, faults
from lossproof.spec import dialects
from lossproof.spec.dialect_lookup import covers

FILES = [path for path in (files("lossproof.spec") / "dialects").iterdir() if path.name.endswith(".toml")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_says_what_schema_and_pages_know(path):
    with as_file(path) as real:
        assert checked(real)


@pytest.mark.parametrize("dialect", dialects(), ids=lambda dialect: f"{dialect.library} {dialect.name}")
def test_defaults_of_a_call_are_a_setting(dialect):
    given = {name: 0.5 for name in dialect.options if name not in dialect.defaults}
    assert dialect.setting(**given).loss == dialect.loss


GOOD = {
    "library": "made-up",
    "versions": ">=1",
    "framework": "torch",
    "source": "https://example.org",
    "calls": [{"name": "f", "loss": "contrastive_loss", "options": {"m": "margin"}, "defaults": {"m": 1.0}}],
}
BAD = [
    ({"loss": "contrastive"}, "calls[0].loss", "did you mean 'contrastive_loss'?"),
    ({"colour": 1}, "calls[0]", "'colour' was unexpected"),
    ({"arguments": {"x": "x3"}}, "calls[0].arguments.x", "'x3' is unknown"),
    ({"options": {"m": "marjin"}}, "calls[0].options.m", "did you mean 'margin'?"),
    ({"fixed": {"distance": "l2"}}, "calls[0].fixed.distance", "must be one of p_norm"),
    ({"fixed": {"factor": -1.0}}, "calls[0].fixed.factor", "must be in [0, inf), got -1.0"),
    ({"values": {"d": {"a": {"fixed": {"p": 0.0}}}}}, "calls[0].values.d.a.fixed.p", "must be in [1, inf]"),
    ({"defaults": {"k": 1}}, "calls[0].defaults.k", "'k' is unknown"),
    ({"values": {"d": {"a": {}}}, "defaults": {"d": "b"}}, "calls[0].defaults.d", "values says nothing of 'b'"),
    ({"differs": [{"says": "x", "clause": "CV-999"}]}, "calls[0].differs", "'CV-999' is unknown"),
    ({"departs": "wrong"}, "calls[0].departs", "'wrong' is not one of"),
    ({"python": "f({x3})"}, "calls[0].python", "'x3' is unknown"),
    ({"limits": {"margin": [-1.0]}}, "calls[0].limits.margin", "must be in [0, inf)"),
]


def test_a_good_file_has_no_fault():
    assert list(faults(GOOD)) == []


@pytest.mark.parametrize(("change", "place", "fault"), BAD, ids=[place for _, place, _ in BAD])
def test_a_fault_is_named_with_its_place(change, place, fault):
    content = copy.deepcopy(GOOD)
    content["calls"][0] |= change
    (found,) = list(faults(content))
    assert found[0] == place
    assert fault in found[1]


def test_the_same_call_twice_is_a_fault():
    (found, *_) = list(faults({**GOOD, "calls": GOOD["calls"] * 2}))
    assert found == ("calls[0].name", "'f' stands there twice")


def test_a_file_that_is_no_toml_is_one_line_with_its_place(tmp_path):
    path = tmp_path / "made_up.toml"
    path.write_text("library = ")
    with pytest.raises(DialectError, match=r"made_up.toml: Invalid value \(at "):
        checked(path)


def test_a_call_is_a_line_to_paste_and_says_what_remains():
    call = lossproof.dialect("torch", "triplet_margin_loss", margin=0.2, swap=True)
    assert str(call) == "triplet_margin_loss(anchor, positive, negative, margin=0.2, swap=True)"
    assert call.offered
    assert "CV-5" in [difference.clause for difference in call.differs]


def test_an_infinite_number_can_be_pasted():
    line = lossproof.dialect("torch", "triplet_margin_loss", p=math.inf).line()
    assert 'p=float("inf")' in line


def test_a_row_of_zeros_that_is_normalised_has_a_gradient_in_jax():
    jax = pytest.importorskip("jax")
    loss = lossproof.dialect("pytorch_metric_learning", "TripletMarginLoss").on("jax")
    found = jax.grad(loss)(jax.numpy.eye(3)[:, :2], jax.numpy.array([0, 0, 1]))
    assert np.isfinite(found).all()


def test_a_call_that_no_option_gives_says_why():
    call = lossproof.dialect("torch", "cosine_embedding_loss")
    assert not call.offered
    assert call.reason == "hinge not squared"
    assert "hinge not squared" in str(call)
    with pytest.raises(ValueError, match=r"no call of ours gives torch.nn.functional.cosine_embedding_loss: hinge"):
        call.on("torch")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        (("torhc", "f"), {}, ValueError, "no dialect of 'torhc'; there are .*; did you mean 'torch'"),
        (("torch==1.0", "cross_entropy"), {}, ValueError, "the dialects of torch speak of >=2.6, got 1.0"),
        (
            ("torch", "triplet_loss"),
            {},
            ValueError,
            "no dialect of 'triplet_loss' of torch; .*mean 'triplet_margin_loss'",
        ),
        (("torch", "triplet_margin_loss"), {"marjin": 1}, TypeError, "no option 'marjin'; .* did you mean 'margin'"),
    ],
)
def test_an_unknown_name_is_one_sentence_with_the_nearest(arguments, options, error, says):
    with pytest.raises(error, match=says):
        lossproof.dialect(*arguments, **options)


def test_an_unknown_framework_is_one_sentence():
    with pytest.raises(ValueError, match="framework must be one of torch, tensorflow, jax, got 'mxnet'"):
        lossproof.dialect("torch", "triplet_margin_loss").on("mxnet")


@pytest.mark.parametrize(
    ("versions", "version", "within"),
    [
        (">=5.3,<7", "6.2.0", True),
        (">=5.3,<7", "7.0", False),
        (">=5,<5.3", "5.2.0", True),
        ("==0.23.0", "0.23", True),
        (">=2.6", "2.13.0+cpu", True),
        (">=2.6", "2.5.1", False),
    ],
)
def test_a_version_is_in_a_range_or_not(versions, version, within):
    assert covers(versions, version) is within


def test_the_migration_tables_are_up_to_date():
    migrating = pytest.importorskip("audit.migrating")
    text = migrating.PAGE.read_text(encoding="utf-8")
    assert migrating.made(text) == text, "run python -m audit migrating"
    assert "`triplet_margin_loss(" in migrating.tables()
