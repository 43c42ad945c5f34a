"""Every dialect of a repository that is no package beside the formula of its call: values and gradients."""

import pytest
import torch
from drawn import BATCHES, arrays_of, options_of

from lossproof.backends.migration import dialect as dialect_of
from lossproof.conformance.peers.formulas import (
    center,
    chainer,
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
from lossproof.spec import dialects


def of_head(head):
    """Return a head as a loss of rows, labels and class weights: the plain cross-entropy of its logits."""
    return lambda rows, labels, table, **own: softmax.entropy(
        head(softmax.cosines(rows, table), labels, **own), labels, "mean"
    )


def whatever(margin):
    """Return a margin as reid-strong-baseline takes it: the word that stands for none is none."""
    return None if margin == "None" else margin


def given_pairs(x1, x2, dissimilar, margin):
    pairs = torch.arange(2 * len(x1)).reshape(2, -1).T
    return siamese_triplet.online_contrastive_loss(
        torch.cat([x1, x2]), dissimilar, margin, lambda _, apart: (pairs[~apart], pairs[apart])
    )


FORMULAS = {
    ("JDAI-CV/fast-reid", "TripletLoss"): fast_reid.triplet_loss,
    ("JDAI-CV/fast-reid", "TripletLoss with NORM_FEAT"): lambda *rows, **own: fast_reid.triplet_loss(
        *rows, norm_feat=True, **own
    ),
    ("JDAI-CV/fast-reid", "CircleLoss"): fast_reid.pairwise_circleloss,
    ("JDAI-CV/fast-reid", "CrossEntropyLoss"): lambda z, y, eps=0.0: fast_reid_softmax.cross_entropy_loss(
        z, y, float(eps)
    ),
    ("JDAI-CV/fast-reid", "ArcSoftmax"): of_head(lambda z, y, s=1.0, m=0.0: fast_reid_softmax.arc_softmax(z, y, s, m)),
    ("JDAI-CV/fast-reid", "CosSoftmax"): of_head(lambda z, y, s=1.0, m=0.0: fast_reid_softmax.cos_softmax(z, y, s, m)),
    ("KaiyangZhou/deep-person-reid", "TripletLoss"): torchreid.hard_triplet_loss,
    ("KaiyangZhou/deep-person-reid", "CrossEntropyLoss"): lambda z, y, eps=0.1, label_smooth=True: (
        torchreid.cross_entropy_loss(z, y, eps if label_smooth else 0.0)
    ),
    ("michuanhaohao/reid-strong-baseline", "TripletLoss"): lambda x, y, margin=None: reid_strong_baseline.triplet_loss(
        x, y, whatever(margin)
    ),
    ("michuanhaohao/reid-strong-baseline", "CrossEntropyLabelSmooth"): lambda z, y, epsilon=0.1: (
        reid_strong_baseline.cross_entropy_label_smooth(z, y, epsilon)
    ),
    ("michuanhaohao/reid-strong-baseline", "CenterLoss"): center.torch_center_loss,
    ("KaiyangZhou/pytorch-center-loss", "CenterLoss"): center.torch_center_loss,
    ("ydwen/caffe-face", "CenterLoss"): center.caffe_center_loss,
    ("ydwen/caffe-face", "ContrastiveLoss"): contrastive.caffe,
    ("Cysu/open-reid", "TripletLoss"): open_reid.triplet_loss,
    ("Cysu/open-reid", "OIMLoss"): lambda x, y, lut, queue, scalar=1.0: oim.open_reid(
        x, y, torch.cat([lut, queue]), float(scalar)
    ),
    ("serend1p1ty/SeqNet", "OIMLoss"): lambda x, y, lut, cq, oim_scalar=30.0: oim.seqnet(
        x, y, lut, cq, float(oim_scalar)
    ),
    ("serend1p1ty/person_search", "OIM"): oim.person_search,
    ("deepinsight/insightface", "CosFace"): of_head(
        lambda z, y, s=64.0, m=0.4: insightface.combined_margin(z, y, s, 1.0, 0.0, m)
    ),
    ("deepinsight/insightface", "CombinedMarginLoss with m3"): of_head(
        lambda z, y, s=64.0, m3=0.4: insightface.combined_margin(z, y, s, 1.0, 0.0, m3)
    ),
    ("adambielski/siamese-triplet", "ContrastiveLoss"): siamese_triplet.contrastive_loss,
    ("adambielski/siamese-triplet", "TripletLoss"): siamese_triplet.triplet_loss,
    ("adambielski/siamese-triplet", "OnlineContrastiveLoss"): given_pairs,
    ("omoindrot/tensorflow-triplet-loss", "batch_all_triplet_loss"): omoindrot.batch_all_triplet_loss,
    ("omoindrot/tensorflow-triplet-loss", "batch_hard_triplet_loss"): omoindrot.batch_hard_triplet_loss,
    ("chainer", "chainer.functions.triplet"): chainer.triplet,
    ("chainer", "chainer.functions.contrastive"): contrastive.chainer,
    ("apache/mxnet", "gluon.loss.TripletLoss"): gluon.triplet_loss,
}
DEPART = {("deepinsight/insightface", "ArcFace"), ("TinyZeaMays/CircleLoss", "CircleLoss")}
OURS = {(d.library, d.name): d for d in dialects() if (d.library, d.name) in FORMULAS}
MINED = [{"hard_mining": True, "margin": margin} for margin in (0.3, 0.5, 0.0)]
MORE = {("JDAI-CV/fast-reid", "TripletLoss"): MINED, ("JDAI-CV/fast-reid", "TripletLoss with NORM_FEAT"): MINED[:2]}
CASES = [
    pytest.param(key, own, batch, id=f"{'/'.join(key)}({', '.join(f'{n}={v}' for n, v in own.items())}), {batch}")
    for key, dialect in OURS.items()
    for own in MORE.get(key, options_of(dialect))
    for batch in BATCHES
]
UNEVEN = "michuanhaohao/reid-strong-baseline", "TripletLoss"  # raises where labels are not all as frequent
OWN_CENTERS = "ydwen/caffe-face", "CenterLoss"  # hands over the update of the centers, not their gradient
HALF_WIDTH = {"CrossEntropyLabelSmooth", "CrossEntropyLoss"}  # their targets are float32
LEFT_OUT = {  # what the dialect says under `differs`, as a share of the value
    "CenterLoss": 1e-10,
    "ContrastiveLoss": 2e-4,
}


@pytest.mark.parametrize(("key", "own", "batch"), CASES)
def test_our_call_gives_the_number_and_the_gradient_of_the_formula(key, own, batch):
    if key == UNEVEN and batch != "unit rows":
        pytest.skip("the call raises on this batch")
    call = dialect_of(*key, **own)
    arrays, derived = arrays_of(OURS[key], batch, 3, call.setting)
    found = []
    names = [*OURS[key].arguments, *(name for name in arrays if name not in OURS[key].arguments)]
    for function in (
        lambda given: FORMULAS[key](*(given[n] for n in names), **own),
        lambda given: call.on("torch")(**given),
    ):
        given = {name: torch.tensor(array) for name, array in arrays.items()}
        for name in derived:
            given[name].requires_grad_()
        value = function(given)
        gradients = torch.autograd.grad(value.sum(), [given[n] for n in derived], allow_unused=True)
        found.append((value.detach(), dict(zip(derived, gradients, strict=True))))
    (there, theirs), (here, ours) = found
    rtol = LEFT_OUT.get(key[1], 1e-7 if key[1] in HALF_WIDTH else 1e-11)
    torch.testing.assert_close(here, there, rtol=rtol, atol=1e-9 if rtol > 1e-9 else 1e-12)
    for name, gradient in ours.items():
        if key == OWN_CENTERS and name == "centers":
            continue
        expected = (
            theirs[name] if theirs[name] is not None else torch.zeros_like(gradient if gradient is not None else there)
        )
        if gradient is not None:
            torch.testing.assert_close(gradient, expected, rtol=max(rtol, 1e-9), atol=1e-9)


@pytest.mark.parametrize(
    ("key", "stranger"), [(("serend1p1ty/SeqNet", "OIMLoss"), 5554), (("serend1p1ty/person_search", "OIM"), -1)]
)
def test_rows_without_an_identity_have_the_label_of_the_repository(key, stranger):
    rng = torch.Generator().manual_seed(0)
    rows, table, queue = (torch.randn(n, 4, generator=rng, dtype=torch.float64) for n in (5, 3, 2))
    given = rows, torch.tensor([0, stranger, 2, stranger, 1]), table, queue
    torch.testing.assert_close(dialect_of(*key).on("torch")(*given), FORMULAS[key](*given))


def test_every_dialect_of_a_repository_has_a_formula_or_departs():
    repositories = {(d.library, d.name) for d in dialects() if "/" in d.library or d.library == "chainer"}
    assert repositories - FORMULAS.keys() == DEPART
    assert all(not dialect_of(*key).offered for key in DEPART)


def test_fast_reid_departs_unless_it_mines():
    call = dialect_of("JDAI-CV/fast-reid", "TripletLoss")
    assert (call.offered, call.reason) == (False, "weighted by softmax")
    mined = dialect_of("JDAI-CV/fast-reid", "TripletLoss", hard_mining=True, margin=0.5)
    assert str(mined) == (
        "batch_hard_triplet_loss(embedding, targets, floor=1e-12, include_self=True, margin=0.5, reduction='sum')"
        " / len(embedding)"
    )
