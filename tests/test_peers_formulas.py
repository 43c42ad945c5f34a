"""The formulas of public repositories give the numbers of the repositories' own files.

Values and norms of gradients were measured by running those files at the commits that the formulas name, in float64
where they take it: torch 2.13, TensorFlow 2.21 for tensorflow-triplet-loss, chainer 7.8.1. There is nothing to run for
MXNet and Caffe.
"""

import contextlib
import tomllib
from importlib.resources import files

import numpy as np
import pytest
import torch
from torch.nn import functional

from lossproof.conformance.peers.formulas import (
    center,
    chainer,
    circle,
    contrastive,
    fast_reid,
    fast_reid_softmax,
    gluon,
    insightface,
    oim,
    omoindrot,
    open_reid,
    reid_strong_baseline,
    siamese_triplet,
    softmax,
    torchreid,
)

RANDOM = np.random.RandomState(0)
ROWS, TABLE, OTHERS, QUEUE, MORE = (torch.tensor(RANDOM.randn(n, 4)) for n in (9, 4, 9, 3, 9))
LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3])
EVEN = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
ALIKE = torch.tensor([1, 0, 1, 0, 1, 0, 1, 0, 0])


def unit(rows):
    return functional.normalize(rows, dim=1)


def of_head(head):
    return lambda x: functional.cross_entropy(head(softmax.cosines(x, TABLE), LABELS), LABELS)


def labelled(stranger):
    return LABELS.where(LABELS < 3, stranger)


def tinyzea(x):
    return circle.circle_loss(*circle.convert_label_to_similarity(unit(x), LABELS), 0.25, 128.0)


MEASURED = {
    "fast-reid hard": (
        lambda x: fast_reid.triplet_loss(x, LABELS, 0.3, hard_mining=True),
        1.7324568190657688,
        0.7428014545752804,
    ),
    "fast-reid hard, unit rows": (
        lambda x: fast_reid.triplet_loss(x, LABELS, 0.3, True, True),
        1.8148887744913087,
        0.7671320178204648,
    ),
    "fast-reid soft": (
        lambda x: fast_reid.triplet_loss(x, LABELS, 0.0, hard_mining=True),
        1.658686790588974,
        0.6119733173946427,
    ),
    "fast-reid weighted": (lambda x: fast_reid.triplet_loss(x, LABELS), 1.0587833881569242, 0.6767396358983481),
    "fast-reid circle": (lambda x: fast_reid.pairwise_circleloss(x, LABELS), 226.82456424486332, 66.69354737970599),
    "fast-reid ArcSoftmax": (
        of_head(lambda z, y: fast_reid_softmax.arc_softmax(z, y, 16.0, 0.5)),
        14.602790224480945,
        3.5997044513607173,
    ),
    "fast-reid CosSoftmax": (
        of_head(lambda z, y: fast_reid_softmax.cos_softmax(z, y, 16.0, 0.35)),
        13.430536733364995,
        4.051113199046687,
    ),
    "torchreid triplet": (lambda x: torchreid.hard_triplet_loss(x, LABELS), 1.7324568190657688, 0.7428014545752805),
    "open-reid triplet": (lambda x: open_reid.triplet_loss(x, LABELS, 0.3), 1.7324568190657688, 0.7428014545752805),
    "reid-strong-baseline triplet": (
        lambda x: reid_strong_baseline.triplet_loss(x, EVEN, 0.3),
        2.07826966800149,
        0.7524065872721183,
    ),
    "reid-strong-baseline soft": (
        lambda x: reid_strong_baseline.triplet_loss(x, EVEN),
        1.9704601121901426,
        0.631023521374615,
    ),
    "pytorch-center-loss": (
        lambda x: center.torch_center_loss(x, LABELS, TABLE),
        11.170580669642023,
        2.2281612418852377,
    ),
    "insightface ArcFace": (
        of_head(lambda z, y: insightface.arc_face(z, y, 16.0)),
        14.602790224480945,
        4.111711171284225,
    ),
    "insightface CombinedMarginLoss": (
        of_head(lambda z, y: insightface.combined_margin(z, y, 16.0, 1.0, 0.0, 0.35)),
        13.430536733364995,
        4.051113199046687,
    ),
    "TinyZeaMays circle": (tinyzea, 432.7438636625201, 209.64934616996197),
    "SeqNet": (
        lambda x: oim.seqnet(unit(x), labelled(5554), unit(TABLE), unit(QUEUE)),
        21.202762013718896,
        6.762017176342661,
    ),
    "person_search": (
        lambda x: oim.person_search(unit(x), labelled(-1), unit(TABLE), unit(QUEUE)),
        7.268250694099201,
        2.250686938660193,
    ),
    "siamese-triplet contrastive": (
        lambda x: siamese_triplet.contrastive_loss(x, MORE, ALIKE, 3.0),
        2.19268836436431,
        0.6980430366096326,
    ),
    "siamese-triplet triplet": (
        lambda x: siamese_triplet.triplet_loss(x, MORE, OTHERS, 1.0),
        2.3589887990514367,
        0.8962731740881026,
    ),
    "chainer triplet": (lambda x: chainer.triplet(x, MORE, OTHERS, 1.0), 2.3589887990514367, 0.8962731740881026),
    "chainer contrastive": (lambda x: contrastive.chainer(x, MORE, ALIKE, 3.0), 2.192688364442258, 0.6980430366296683),
}
IN_FLOAT32 = {
    "batch all": (lambda x: omoindrot.batch_all_triplet_loss(LABELS, x, 0.3), 1.1401689052581787, 0.5874894261360168),
    "batch all, squared": (
        lambda x: omoindrot.batch_all_triplet_loss(LABELS, x, 0.3, True),
        5.728883266448975,
        3.9960145950317383,
    ),
    "batch hard": (lambda x: omoindrot.batch_hard_triplet_loss(LABELS, x, 0.3), 1.7324568033218384, 0.7428014278411865),
    "batch hard, squared": (
        lambda x: omoindrot.batch_hard_triplet_loss(LABELS, x, 0.3, True),
        7.456262588500977,
        4.30191707611084,
    ),
}
OF_LOGITS = {
    "fast-reid": (
        lambda z: fast_reid_softmax.cross_entropy_loss(z, LABELS, 0.1),
        1.7190295349714038,
        0.2822284864488419,
    ),
    "fast-reid, adaptive": (
        lambda z: fast_reid_softmax.cross_entropy_loss(z, LABELS, -1.0),
        1.7455983727247453,
        0.3044708314866899,
    ),
    "torchreid": (
        lambda z: torchreid.cross_entropy_loss(z.float(), LABELS, 0.1),
        1.723653793334961,
        0.29131898283958435,
    ),
    "reid-strong-baseline": (
        lambda z: reid_strong_baseline.cross_entropy_label_smooth(z.float(), LABELS, 0.1),
        1.723653793334961,
        0.29131898283958435,
    ),
}


def measured(function, rows):
    rows = rows.clone().requires_grad_()
    value = function(rows)
    (gradient,) = torch.autograd.grad(value, rows)
    return value.item(), float(gradient.norm())


@pytest.mark.parametrize(("function", "value", "norm"), MEASURED.values(), ids=MEASURED)
def test_formula_gives_value_and_gradient_of_the_repository(function, value, norm):
    assert measured(function, ROWS) == pytest.approx((value, norm), rel=1e-12)


@pytest.mark.parametrize(("function", "value", "norm"), IN_FLOAT32.values(), ids=IN_FLOAT32)
def test_formula_of_tensorflow_gives_them_in_float32(function, value, norm):
    assert measured(function, ROWS.float()) == pytest.approx((value, norm), rel=1e-6)


@pytest.mark.parametrize(("function", "value", "norm"), OF_LOGITS.values(), ids=OF_LOGITS)
def test_formula_of_a_cross_entropy_gives_them(function, value, norm):
    assert measured(function, OTHERS) == pytest.approx((value, norm), rel=1e-6)


# batches on which they differ: the same rows, in float64, with a margin of 0.3; in float32 the digits of a matrix
# product hang on the machine, and a weight is the exponential of a difference of two of them

BATCHES = {
    "3 x 3": [0, 0, 0, 1, 1, 1, 2, 2, 2],
    "uneven": [0, 0, 0, 1, 1, 2, 2, 3, 4],
    "apart": list(range(9)),
    "one": [0] * 9,
}
HARD = {
    "fast-reid": (lambda x, y: fast_reid.triplet_loss(x, y, hard_mining=True), [2.078269, 1.380300, 0.0, 0.0]),
    "fast-reid weighted": (fast_reid.triplet_loss, [1.326664, 0.904947, 0.0, 4.086019]),
    "torchreid": (torchreid.hard_triplet_loss, [2.078269, 1.380300, 0.0, RuntimeError]),
    "reid-strong-baseline": (
        lambda x, y: reid_strong_baseline.triplet_loss(x, y, 0.3),
        [2.078269, RuntimeError, 0.0, IndexError],
    ),
    "batch hard": (lambda x, y: omoindrot.batch_hard_triplet_loss(y, x, 0.3), [2.078269, 1.380300, 0.0, 0.3]),
    "batch all": (lambda x, y: omoindrot.batch_all_triplet_loss(y, x, 0.3), [1.190266, 1.379031, 0.0, 0.0]),
}
CASES = [
    pytest.param(function, labels, want, id=f"{name}, {batch}")
    for name, (function, wants) in HARD.items()
    for (batch, labels), want in zip(BATCHES.items(), wants, strict=True)
]


@pytest.mark.parametrize(("function", "labels", "want"), CASES)
def test_formula_of_a_mined_loss_on_uneven_batches(function, labels, want):
    if isinstance(want, type):
        with pytest.raises(want):
            function(ROWS.double(), torch.tensor(labels))
    else:
        assert function(ROWS.double(), torch.tensor(labels)).item() == pytest.approx(want, abs=2e-6)


# what each is known for


def test_weighted_negatives_are_forgotten_where_they_are_far():
    rows, labels = torch.tensor([[0.0], [1.0], [39.0], [40.0]]), torch.tensor([0, 0, 1, 1])
    assert fast_reid.triplet_loss(rows, labels).item() == pytest.approx(0.3 + 0.731058, abs=1e-4)  # as if none were far


def test_soft_margin_that_overflows_becomes_a_hinge():
    rows, labels = torch.tensor([[0.0], [1000.0], [1.0], [1001.0]]), torch.tensor([0, 0, 1, 1])
    assert fast_reid.triplet_loss(rows, labels, 0.0, hard_mining=True).item() == pytest.approx(999.3)
    assert reid_strong_baseline.triplet_loss(rows, labels).item() == float("inf")


def test_cross_entropy_counts_the_rows_whose_term_is_not_zero():
    logits, labels = torch.tensor([[0.0, 0.0], [0.0, 200.0]]), torch.tensor([0, 1])
    assert fast_reid_softmax.cross_entropy_loss(logits, labels, 0.0).item() == pytest.approx(0.693147)


def test_arcface_of_insightface_leaves_the_factor_out():
    rows, table = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.75**0.5], [-1.0, 0.5]])
    norms = {}
    for name, head in (("there", insightface.arc_face), ("true", fast_reid_softmax.arc_softmax)):
        table.requires_grad_()
        loss = head(softmax.cosines(rows, table), torch.tensor([0]), 4.0, 0.5)[0, 0]
        norms[name] = float(torch.autograd.grad(loss, table)[0].norm())
    assert norms["true"] / norms["there"] == pytest.approx(1.154379, abs=1e-5)  # sin(θ + m) / sin θ


def test_combined_margin_has_no_angle_beside_a_cosine():
    with pytest.raises(RuntimeError):
        insightface.combined_margin(ROWS, LABELS, 64.0, 0.9, 0.5, 0.0)


def test_center_loss_adds_the_floor_once_for_each_other_class():
    rows, centers = torch.ones(1, 1, dtype=torch.float64), torch.zeros(11, 1, dtype=torch.float64)
    assert center.torch_center_loss(rows, torch.tensor([0]), centers).item() - 1 == pytest.approx(1e-11, rel=1e-3)


def test_caffe_hands_the_update_over_where_the_gradient_of_a_center_is():
    centers = torch.zeros(2, 1, requires_grad=True)
    loss = center.caffe_center_loss(torch.tensor([[3.0], [5.0]]), torch.tensor([0, 0]), centers)
    (step,) = torch.autograd.grad(100 * loss, centers)
    assert (loss.item(), step.tolist()) == (8.5, [[pytest.approx(-8 / 3)], [0.0]])


def test_memory_of_person_search_keeps_its_length_and_loses_what_is_beyond_64_numbers():
    rows, table, queue = torch.ones(3, 65), torch.zeros(1, 65), torch.zeros(2, 65)
    labels = torch.tensor([0, 0, -1])
    table, queue, tail = oim.person_search_update(rows, labels, table, queue, 1)
    assert (table[0, 0].item(), queue[1, 63].item(), queue[1, 64].item(), tail) == (0.75, 1.0, 0.0, 0)


def test_memory_of_seqnet_is_nan_where_a_row_becomes_zero():
    table, _, _ = oim.seqnet_update(torch.zeros(1, 2), torch.tensor([0]), torch.zeros(1, 2), torch.zeros(1, 2), 0)
    assert torch.isnan(table).all()


def test_open_reid_has_the_update_of_seqnet_and_no_queue():
    labels = LABELS.where(LABELS < 3, 0)
    of_both = oim.open_reid_update(ROWS, labels, TABLE), oim.seqnet_update(ROWS, labels, TABLE, QUEUE, 0)[0]
    assert torch.equal(*of_both)
    assert oim.open_reid(ROWS, labels, TABLE, 10.0) == oim.person_search(ROWS, labels, TABLE, QUEUE[:0])


def test_online_contrastive_is_nan_where_a_negative_coincides():
    rows, pairs = torch.ones(2, 2, requires_grad=True), torch.tensor([[0, 1]])
    loss = siamese_triplet.online_contrastive_loss(rows, LABELS, 1.0, lambda *_: (pairs[:0], pairs))
    assert loss.item() == 1.0
    assert torch.isnan(torch.autograd.grad(loss, rows)[0]).all()


def test_caffe_divides_by_more_than_the_distance():
    x = torch.tensor([[1e-4]], dtype=torch.float64, requires_grad=True)
    loss = contrastive.caffe(x, torch.zeros_like(x), torch.zeros(1))
    assert torch.autograd.grad(loss, x)[0].item() == pytest.approx(-0.5, abs=1e-4)  # the slope is -0.9999
    legacy = contrastive.caffe(x, torch.zeros_like(x), torch.zeros(1), legacy_version=True)
    assert legacy.item() == pytest.approx((1 - 1e-8) / 2)


@pytest.mark.parametrize(
    "function", [lambda x: chainer.triplet(x, x, x, 0.0), lambda x: contrastive.chainer(x, x, ALIKE, 0.0)]
)
def test_chainer_refuses_a_margin_of_zero(function):
    with pytest.raises(ValueError, match="margin should be positive value"):
        function(ROWS)


def test_gluon_sums_over_all_axes_but_the_first_and_gives_the_others_the_shape_of_the_anchor():
    anchor, positive, negative = torch.zeros(2, 2, 3), torch.ones(4, 3), torch.zeros(12)
    assert gluon.triplet_loss(anchor, positive, negative).tolist() == [7.0, 7.0]


def test_hadsell_is_half_of_both_parts():
    x, y = torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [0.5, 0.0]])
    assert contrastive.hadsell(x, y, torch.tensor([False, True])).item() == 12.625


# what is declared

KNOWN = files("lossproof.conformance.peers") / "known" / "repositories"
DECLARED = [
    pytest.param(entry, id=f"{path.name}: {entry['loss']}, {entry['finding']}")
    for path in sorted(KNOWN.iterdir(), key=lambda path: path.name)
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["failure"]
    if "torch.compile(" not in entry["reproduce"]  # takes seconds each
]


@pytest.mark.parametrize("entry", DECLARED)
def test_line_of_a_declared_failure_shows_what_its_reason_says(entry, capsys):
    line, reason = entry["reproduce"], entry["reason"]
    code = line.removeprefix("python -c '").removesuffix("'")
    raises = any(word in reason for word in ("raises", "refused"))
    with pytest.raises(Exception) if raises else contextlib.nullcontext():
        exec(code, {})
    assert raises or "NaN" not in reason or "nan" in capsys.readouterr().out
