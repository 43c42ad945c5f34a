"""Formulas of repositories that are no packages: what of each is judged, and how.

A formula that was typed anew has the mathematics of its repository, and what raises there; it has neither the argument
checks of its code, nor the operations that a compiler would meet. So what asks about those is left out. The triplet
loss of reid-strong-baseline raises on every batch whose labels are not all as frequent, the judge's plain call among
them, and open-reid's OIM knows no row without an identity; these two stand in their dialects alone.
"""

from lossproof.conformance.peers.formulas.center import caffe_face as caffe_face_center
from lossproof.conformance.peers.formulas.center import pytorch_center_loss
from lossproof.conformance.peers.formulas.chainer import triplets as chainer_triplet
from lossproof.conformance.peers.formulas.contrastive import (
    caffe_contrastive,
    chainer_contrastive,
    hadsell_contrastive,
)
from lossproof.conformance.peers.formulas.fast_reid import circle_loss as fast_reid_circle
from lossproof.conformance.peers.formulas.fast_reid import hard_triplet as fast_reid_triplet
from lossproof.conformance.peers.formulas.fast_reid import hard_triplet_of_unit_rows as fast_reid_triplet_norm_feat
from lossproof.conformance.peers.formulas.fast_reid_softmax import arc_head as fast_reid_arc_softmax
from lossproof.conformance.peers.formulas.fast_reid_softmax import cos_head as fast_reid_cos_softmax
from lossproof.conformance.peers.formulas.fast_reid_softmax import cross_entropy as fast_reid_cross_entropy
from lossproof.conformance.peers.formulas.gluon import triplet as gluon_triplet
from lossproof.conformance.peers.formulas.insightface import arc as insightface_arcface
from lossproof.conformance.peers.formulas.insightface import combined as insightface_combined_margin
from lossproof.conformance.peers.formulas.oim_calls import person_search as person_search_oim
from lossproof.conformance.peers.formulas.oim_calls import seqnet as seqnet_oim
from lossproof.conformance.peers.formulas.omoindrot import batch_all as tensorflow_triplet_loss_batch_all
from lossproof.conformance.peers.formulas.omoindrot import batch_hard as tensorflow_triplet_loss_batch_hard
from lossproof.conformance.peers.formulas.open_reid import hard_triplet as open_reid_triplet
from lossproof.conformance.peers.formulas.reid_strong_baseline import cross_entropy as strong_baseline_cross_entropy
from lossproof.conformance.peers.formulas.siamese_triplet import contrastive as siamese_triplet_contrastive
from lossproof.conformance.peers.formulas.siamese_triplet import online_contrastive as siamese_triplet_online
from lossproof.conformance.peers.formulas.siamese_triplet import triplet as siamese_triplet_triplet
from lossproof.conformance.peers.formulas.torchreid import cross_entropy as torchreid_cross_entropy
from lossproof.conformance.peers.formulas.torchreid import hard_triplet as torchreid_triplet

__all__ = [
    "FRAMEWORK",
    "LEFT_OUT",
    "caffe_contrastive",
    "caffe_face_center",
    "chainer_contrastive",
    "chainer_triplet",
    "fast_reid_arc_softmax",
    "fast_reid_circle",
    "fast_reid_cos_softmax",
    "fast_reid_cross_entropy",
    "fast_reid_triplet",
    "fast_reid_triplet_norm_feat",
    "gluon_triplet",
    "hadsell_contrastive",
    "insightface_arcface",
    "insightface_combined_margin",
    "open_reid_triplet",
    "person_search_oim",
    "pytorch_center_loss",
    "seqnet_oim",
    "siamese_triplet_contrastive",
    "siamese_triplet_online",
    "siamese_triplet_triplet",
    "strong_baseline_cross_entropy",
    "tensorflow_triplet_loss_batch_all",
    "tensorflow_triplet_loss_batch_hard",
    "torchreid_cross_entropy",
    "torchreid_triplet",
]

FRAMEWORK = "torch"
LEFT_OUT = ("errors", "refusals", "widths", "compiled")
