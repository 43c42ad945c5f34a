"""The picks of the batch-hard loss in torch: the screen finds what all distances from differences find."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lossproof.backends.torch")

from lossproof.backends.torch import batch_hard, batch_hard_triplet_loss, screen  # noqa: E402
from lossproof.backends.torch.candidates import as_sets  # noqa: E402


def generator():
    return torch.Generator().manual_seed(3)


def normal(*shape):
    return torch.randn(*shape, generator=generator(), dtype=torch.float64)


def nearly_tied(count, width):
    """Rows at nearly the same distance from the first: which of them is the nearest, rounding decides."""
    rows = normal(count, width)
    rows = 0.7 * rows / rows.norm(dim=1, keepdim=True)
    rows[0] = 0
    return rows + 0.1


def with_row(rows, value):
    rows = rows.clone()
    rows[5] = value
    return rows


BATCHES = {
    "normal": normal(96, 24),
    "narrow": normal(96, 1),
    "wide": normal(40, 700),
    "one row": normal(1, 3),
    "duplicates": normal(12, 7).repeat(8, 1) * 0.1,
    "grid": torch.randint(0, 3, (96, 4), generator=generator()).double(),
    "a grid of tenths": torch.randint(0, 3, (96, 4), generator=generator()) * 0.1 + 0.3,
    "nearly tied": nearly_tied(96, 16),
    "far from the origin": 1000 + normal(96, 8),
    "collapsed": 100 + 1e-4 * normal(96, 8),
    "collapsed, and an outlier": with_row(3 + 1e-3 * normal(96, 8), 500.0),
    "coincident": torch.full((96, 5), 0.1, dtype=torch.float64),
    "coincident, and an outlier": with_row(torch.full((96, 5), 0.1, dtype=torch.float64), 7.0),
    "far clusters": normal(96, 8) * 1e-2 + 64 * (torch.arange(96) % 2).unsqueeze(1),
    "one large row": with_row(normal(96, 8), 1e4),
    "one huge row": with_row(normal(96, 8), 3e38),
    "two huge rows": with_row(with_row(normal(96, 8), 3e38).flip(0), -3e38),
    "tiny": 1e-30 * normal(96, 8),
    "subnormal": 1e-41 * normal(96, 8),
    "of all sizes": normal(96, 8) * 10.0 ** torch.linspace(-12, 6, 96).unsqueeze(1),
    "nan": with_row(normal(96, 8), float("nan")),
}


def labels(count, each):
    return torch.randint(0, max(1, count // each), (count,), generator=generator())


def calls(rows, each):
    """Yield the arguments of `as_sets` and the switch of the anchor itself."""
    names, mask = labels(len(rows), each), torch.rand(len(rows), generator=generator()) < 0.7
    for own in (False, True):
        yield (rows, names, None), own
        yield (rows, names, mask), own
    half = len(rows) // 2
    second = rows[: half + 1], names[: half + 1], mask[: half + 1], rows[half:], names[half:].roll(1)
    index = torch.randint(-1, len(rows) - half, (half + 1,), generator=generator())
    for known in ((None, None), (mask[half:], None), (None, index), (mask[half:], index)):
        yield (*second, *known), False


def differing(rows, each):
    """Return how many anchors of all calls have other picks than all distances give, or are no anchors there."""
    wrong = 0
    for arguments, own in calls(rows, each):
        sets = as_sets(*arguments)
        found = screen.screened(sets, include_self=own)
        expected = batch_hard._compared(sets, "euclidean", own)
        other = (found.hardest != expected.hardest) | (found.nearest != expected.nearest)
        wrong += int((found.anchors != expected.anchors).sum()) + int((other & expected.anchors).sum())
    return wrong


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", BATCHES)
def test_the_picks_are_those_of_all_distances(name, dtype):
    assert [differing(BATCHES[name].to(dtype), each) for each in (1, 4, 40, 1000)] == [0, 0, 0, 0]


@pytest.mark.parametrize("name", BATCHES)
def test_blocks_of_anchors_change_no_pick(name, monkeypatch):
    monkeypatch.setattr(screen, "_ANCHORS", 20)
    assert differing(BATCHES[name].float(), 4) == 0


@pytest.mark.parametrize("name", BATCHES)
def test_bands_that_hold_much_change_no_pick(name, monkeypatch):
    monkeypatch.setattr(screen, "_FEW", 1e9)
    assert differing(BATCHES[name].float(), 4) == 0


@pytest.mark.parametrize("name", ["grid", "a grid of tenths", "nearly tied", "collapsed, and an outlier"])
def test_without_bands_the_screen_picks_other_rows(name, monkeypatch):
    monkeypatch.setattr(screen, "_BAND", 0.0)
    monkeypatch.setattr(screen, "_FEW", 1e9)
    assert differing(BATCHES[name].float(), 4) > 0


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_switches_of_products_change_no_pick(precision):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert differing(BATCHES["nearly tied"].float(), 4) == 0
    finally:
        torch.set_float32_matmul_precision(before)


def test_no_block_is_larger_than_it_may_be(monkeypatch):
    made = []

    def multiplied(x, y):
        made.append(len(x) * len(y))
        return x @ y.mT

    monkeypatch.setattr(screen, "multiplied", multiplied)
    monkeypatch.setattr(screen, "_NUMBERS", 500)
    assert differing(BATCHES["normal"], 4) == 0
    assert max(made) <= 500


@pytest.fixture
def screens(monkeypatch):
    """Return a list that grows with each call that is screened."""
    seen = []

    def counted(sets, **options):
        seen.append(options)
        return screen.screened(sets, **options)

    monkeypatch.setattr(batch_hard, "screened", counted)
    return seen


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
def test_a_plain_call_is_screened(distance, screens):
    rows, names = BATCHES["normal"].float().requires_grad_(), labels(96, 4)
    batch_hard_triplet_loss(rows, names, distance=distance).backward()
    batch_hard_triplet_loss(rows, names, distance=distance, candidates=rows.detach(), candidate_labels=names)
    assert len(screens) == 2


ELSEWHERE = {
    "vmap": lambda loss, rows, names: torch.func.vmap(loss)(rows[None], names[None]),
    "grad": lambda loss, rows, names: torch.func.grad(loss)(rows, names),
    "jvp": lambda loss, rows, names: torch.func.jvp(lambda x: loss(x, names), (rows,), (rows,)),
    "compiled": lambda loss, rows, names: torch.compile(loss, fullgraph=True, backend="eager")(rows, names),
    "another device": lambda loss, rows, names: loss(rows.to("meta"), names.to("meta")),
}


@pytest.mark.filterwarnings("ignore")  # of torch itself
@pytest.mark.parametrize("way", ELSEWHERE)
def test_a_transformed_call_is_not(way, screens):
    ELSEWHERE[way](batch_hard_triplet_loss, BATCHES["normal"].float(), labels(96, 4))
    assert not screens
