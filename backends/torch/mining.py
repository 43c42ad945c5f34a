"""Mining (spec/mining.md): which triplets there are, how hard they are, and random draws among them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossproof.backends.torch.arrays import arithmetic, batch, describe, readable, real, same_device
from lossproof.backends.torch.distances import row_distance
from lossproof.backends.torch.pairwise import blocks
from lossproof.spec.arguments import (
    check_choice,
    check_count,
    check_kinds,
    check_labels,
    check_mask,
    check_same,
    refuse_labels,
    refuse_type,
)


def triplet_masks(labels: Tensor, *, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return which pairs of rows may be (anchor, positive), and which (anchor, negative).

    ``positive[a, p] = a != p and labels[a] == labels[p]``, ``negative[a, n] = labels[a] != labels[n]``.

    Args:
        labels: integers of shape (B,), compared as integers.
        mask: booleans of shape (B,); a row with False is in no pair, and its label is not looked at.

    Returns:
        Two boolean tensors of shape (B, B).

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses MI-1 to MI-3.
    """
    y = _labels(labels)
    same = y[:, None] == y
    both = ~torch.eye(y.shape[0], dtype=torch.bool, device=y.device)
    if mask is not None:
        check_mask("mask", *describe("mask", mask), tuple(y.shape))
        same_device("mask", mask, "labels", y)
        both = both & mask[:, None] & mask  # MI-3
    return same & both, ~same & both  # MI-1, MI-2


def classify_triplets(d_ap: Tensor, d_an: Tensor, *, margin: float | Tensor) -> Tensor:
    """Return how hard each triplet is: 0 easy, 1 semi-hard, 2 hard, -1 where a distance is NaN.

    Easy: ``d_ap + margin <= d_an`` (its loss is 0); hard: ``d_an <= d_ap`` and not easy; semi-hard: the others.

    Args:
        d_ap: distances of anchor and positive, any shape; float16, bfloat16, float32 or float64.
        d_an: distances of anchor and negative, same shape and dtype.
        margin: in the unit of the distances, [0, inf); a tensor of shape () is used as it is and not checked.

    Returns:
        int64 codes of the same shape.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Source: Schroff et al. (2015), section 3.2. Clauses MI-4 to MI-8.
    """
    shape_and_dtype = describe("d_ap", d_ap)
    check_same({"d_ap": shape_and_dtype, "d_an": describe("d_an", d_an)})  # MI-8
    same_device("d_an", d_an, "d_ap", d_ap)
    margin = real("margin", margin, 0)
    dtype = arithmetic(d_ap)
    ap, an = d_ap.detach().to(dtype), d_an.detach().to(dtype)
    code = 1 + (an <= ap).long()  # MI-5, MI-6
    code = code.masked_fill(margin + ap <= an, 0)  # MI-4
    return code.masked_fill(ap.isnan() | an.isnan(), -1)  # MI-7


def sample_triplets(labels: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """Return n triplets, drawn independently and uniformly among all triplets of the labels.

    Args:
        labels: integers of shape (N,).
        n: the number of draws, 0 or more.
        rng: the random state, on any device.

    Returns:
        Indices (anchor, positive, negative), int64 of shape (n, 3), on the device of the labels.

    Raises:
        TypeError, ValueError: an argument is not what is described here, or there is no triplet. That is read back from
            the device; in a compiled function nothing is, and every index is -1.

    Clauses MI-9, MI-10, MI-14, MI-20 to MI-22.
    """
    y = _labels(labels)
    _check_draw(n, rng)
    order, first, size = _identities(y)
    others = y.shape[0] - size
    at, none = _draw_identity(size.double() * (size - 1) * others, first, n, rng)  # MI-10
    _refuse_none(none, n, "a triplet: two rows of one identity and one of another", y)
    first, size, others = (run[at] for run in (first, size, others))
    anchor = _below(size, rng)
    triplets = torch.stack([first + anchor, first + _other(anchor, size, rng), _foreign(first, size, others, rng)], 1)
    return _rows(order, triplets, none)  # MI-9, MI-14


def sample_pairs(labels: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return n pairs, similar and dissimilar in turn, each drawn uniformly among all ordered pairs of its kind.

    Args:
        labels: integers of shape (N,).
        n: the number of draws, 0 or more.
        rng: the random state, on any device.

    Returns:
        Indices, int64 of shape (n, 2), and `dissimilar`, booleans of shape (n,): False, True, False, ...

    Raises:
        TypeError, ValueError: an argument is not what is described here, or there is no pair of a kind to draw. That is
            read back from the device; in a compiled function nothing is, and the indices of that kind are -1.

    Clauses MI-11, MI-12, MI-14, MI-20 to MI-22.
    """
    y = _labels(labels)
    _check_draw(n, rng)
    order, first, size = _identities(y)
    others = y.shape[0] - size
    half = (n + 1) // 2
    at, none = _draw_identity(size.double() * (size - 1), first, half, rng)  # MI-12
    _refuse_none(none, n, "a similar pair", y)
    anchor = _below(size[at], rng)
    similar = torch.stack([anchor, _other(anchor, size[at], rng)], 1) + first[at, None]
    similar = _rows(order, similar, none)
    at, none = _draw_identity(size.double() * others, first, half, rng)
    _refuse_none(none, n - 1, "a dissimilar pair", y)
    anchor = first[at] + _below(size[at], rng)
    different = torch.stack([anchor, _foreign(first[at], size[at], others[at], rng)], 1)
    different = _rows(order, different, none)
    pairs = torch.stack([similar, different], 1).reshape(-1, 2)[:n]  # MI-11
    return pairs, torch.arange(n, device=y.device) % 2 == 1


def sample_active(terms: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """Return n indices of positive terms, drawn independently and uniformly; all -1 where no term is positive.

    Args:
        terms: losses of shape (N,); NaN is not positive.
        n: the number of draws, 0 or more.
        rng: the random state, on any device.

    Returns:
        Indices, int64 of shape (n,), on the device of the terms. Nothing is read back from it.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses MI-13, MI-20 to MI-22.
    """
    shape, dtype = describe("terms", terms)
    check_same({"terms": (shape, dtype)})
    if len(shape) != 1:
        raise ValueError(f"terms must have shape (N,), got {shape}")
    _check_draw(n, rng)
    seen = (terms.detach() > 0).cumsum(0)
    count = seen[-1:].sum()  # 0 for no terms
    index = torch.searchsorted(seen, _below(count.expand(n), rng), right=True)
    return index.masked_fill(count == 0, -1)  # MI-13


@torch.no_grad()
def sample_negatives(
    embeddings: Tensor,
    labels: Tensor,
    rng: torch.Generator,
    *,
    margin: float | Tensor,
    kinds: Sequence[str] = ("semi_hard",),
    distance: str = "squared_euclidean",
    mask: Tensor | None = None,
    size: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return one triplet for each positive pair: a negative drawn uniformly among those of the chosen kinds.

    O(B² log B) time and O(B²) memory: no B x B x B tensor.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64.
        labels: integers of shape (B,).
        rng: the random state, on any device.
        margin: in the unit of the distance, [0, inf); a tensor of shape () is used as it is and not checked.
        kinds: one or more of "easy", "semi_hard" and "hard", as `classify_triplets` has them.
        distance: "euclidean", "squared_euclidean" or "cosine".
        mask: booleans of shape (B,); True takes part.
        size: the length of the result; without it, the number of picks, which is read back from the device.

    Returns:
        Indices (a, p, n) of the triplets, int64, three tensors of one length, ordered by a, then p. With `size`, -1
        fills up (leave it out with ``mask=a >= 0`` of the loss), and of too many picks a uniform subset is kept.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Source: Schroff et al. (2015), section 3.2. Clauses MI-15 to MI-22.
    """
    _, x = batch(mask, labels, embeddings=embeddings)
    margin = real("margin", margin, 0)
    check_kinds(kinds)
    check_choice("distance", distance, ("euclidean", "squared_euclidean", "cosine"))
    _check_rng(rng)
    if size is not None:
        check_count("size", size)
    positive, negative = triplet_masks(labels, mask=mask)  # MI-19
    d = _pairwise(x, distance)
    positive, negative = positive & ~d.isnan(), negative & ~d.isnan()  # MI-19
    picked, choice = _choose(d, negative, margin, kinds, rng)
    picked = picked & positive  # MI-15
    if size is None:
        a, p = picked.nonzero(as_tuple=True)
        return a, p, choice[a, p]
    rows = x.shape[0]
    flat = torch.cat([picked.flatten(), picked.new_zeros(size)])
    priority = _uniform(flat.shape, rng, x.device).masked_fill(~flat, 2.0)
    at = priority.topk(size, largest=False).indices
    at = at.masked_fill(~flat[at], rows * rows).sort().values  # MI-18
    found = at < rows * rows
    at = at.masked_fill(~found, 0)
    n = torch.cat([choice.flatten(), choice.new_zeros(1)])[at]
    width = max(rows, 1)
    return tuple(i.masked_fill(~found, -1) for i in (at // width, at % width, n))  # type: ignore[return-value]


def _choose(
    d: Tensor, negative: Tensor, margin: float | Tensor, kinds: Sequence[str], rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return, for each (anchor, positive), whether its chosen set holds a negative, and one drawn from it.

    Each anchor's negatives are sorted once; the kinds of a pair are then three ranges of ranks.
    """
    ranked, order = d.masked_fill(~negative, torch.inf).sort(1)
    total = negative.sum(1, keepdim=True)
    easy = torch.searchsorted(ranked, margin + d).minimum(total)  # MI-4: the rank of the first easy one
    semi = torch.searchsorted(ranked, d, right=True).minimum(easy)  # MI-5, MI-6
    count = torch.zeros_like(easy)
    for kind, members in (("hard", semi), ("semi_hard", easy - semi), ("easy", total - easy)):
        count = count + members if kind in kinds else count
    rank = _below(count, rng)  # MI-16
    if "hard" not in kinds:
        rank = rank + semi
    if "semi_hard" not in kinds:
        rank = torch.where(rank >= semi, rank + easy - semi, rank)
    return count > 0, order.gather(1, rank.clamp(max=max(d.shape[0] - 1, 0)))


def _pairwise(x: Tensor, distance: str) -> Tensor:
    """Return the distances of all rows (B, B), from differences, a block of rows at a time: MI-17."""
    return torch.cat([row_distance(rows[:, None], x, distance, 2.0, 0.0, "difference") for rows in blocks(x, x)])


def _labels(labels: Tensor) -> Tensor:
    """Check labels and return them as int64."""
    shape, dtype = describe("labels", labels)
    check_labels("labels", shape, dtype, labels.numel())
    return labels.long().contiguous()


def _check_rng(rng: object) -> None:
    if not isinstance(rng, torch.Generator):
        refuse_type("rng", "be a torch.Generator", rng)  # MI-21, MI-22


def _check_draw(n: object, rng: object) -> None:
    check_count("n", n)
    _check_rng(rng)


def _refuse_none(none: Tensor, n: int, expectation: str, y: Tensor) -> None:
    if n > 0 and readable(none) and bool(none):
        refuse_labels(expectation, len(torch.unique(y)), len(y))  # MI-14


def _identities(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the order that sorts the labels, and for each sorted place the first of its identity and their number."""
    y, order = y.sort(stable=True)
    first = torch.searchsorted(y, y)
    return order, first, torch.searchsorted(y, y, right=True) - first


def _uniform(shape: Sequence[int], rng: torch.Generator, device: torch.device) -> Tensor:
    return torch.rand(shape, generator=rng, device=rng.device, dtype=torch.float64).to(device)


def _below(count: Tensor, rng: torch.Generator) -> Tensor:
    """Return integers drawn uniformly from 0 to count - 1; 0 where count is 0."""
    return (_uniform(count.shape, rng, count.device) * count).long()


def _draw_identity(weight: Tensor, first: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the first sorted places of n identities drawn with the given weights, and whether all weights are 0."""
    weight = weight.masked_fill(first != torch.arange(first.shape[0], device=first.device), 0.0)
    weight, at = weight.sort(descending=True)  # an identity of weight 0 comes last and is never drawn
    total = weight.cumsum(0)
    drawn = torch.searchsorted(total, _uniform((n,), rng, first.device) * total[-1:].sum(), right=True)
    possible = (weight > 0).sum()
    at = at if first.shape[0] else at.new_zeros(1)
    return at[drawn.minimum((possible - 1).clamp(min=0))], possible == 0


def _rows(order: Tensor, places: Tensor, none: Tensor) -> Tensor:
    """Return the rows at sorted places, or -1 where there was nothing to draw: MI-14."""
    return order[places.clamp(max=max(order.shape[0] - 1, 0))].masked_fill(none, -1)


def _other(anchor: Tensor, size: Tensor, rng: torch.Generator) -> Tensor:
    """Return another place among `size` ones than `anchor`, uniformly."""
    other = _below((size - 1).clamp(min=0), rng)
    return other + (other >= anchor)


def _foreign(first: Tensor, size: Tensor, others: Tensor, rng: torch.Generator) -> Tensor:
    """Return a sorted place outside of the identity that starts at `first`, uniformly."""
    other = _below(others, rng)
    return torch.where(other >= first, other + size, other)
