"""Every dialect beside the library itself, where it is installed in a version that the dialect speaks of."""

from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pytest
from drawn import BATCHES, PAIRS, options_of

from lossproof.spec import dialects
from lossproof.spec.dialect_lookup import covers


def installed(dialect):
    try:
        return covers(dialect.versions, version(dialect.library))
    except PackageNotFoundError:
        return False


CASES = [
    pytest.param(dialect, own, id=f"{dialect.name}({', '.join(f'{n}={v}' for n, v in own.items())})")
    for dialect in dialects()
    if dialect.python and dialect.framework in PAIRS
    for own in options_of(dialect)
]


@pytest.mark.parametrize("name", ["ArcFaceLoss", "CosFaceLoss"])
def test_logits_to_classify_by_are_those_of_the_class(name):
    torch = pytest.importorskip("torch")
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    from lossproof.backends.torch import arcface_logits

    rows, there = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), getattr(losses, name)(7, 4, scale=30.0)
    want = there.get_logits(rows)
    torch.testing.assert_close(arcface_logits(rows, there.W.T, scale=30.0), want)


LONELY = {"BH-2", "SH-3", "CV-23"}  # what becomes of an anchor without a positive or a negative; what is refused


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("dialect", "own"), CASES)
def test_our_call_gives_the_number_and_the_gradient_of_the_library(dialect, own, batch):
    if not installed(dialect):
        pytest.skip(f"{dialect.library} {dialect.versions} is not installed")
    if batch == "singletons" and LONELY & {difference.clause for difference in dialect.differs}:
        pytest.skip("the dialect says that anchors without a positive are another matter there")
    there, here = PAIRS[dialect.framework](dialect, own, batch, seed=3)
    np.testing.assert_allclose(here[0], there[0], rtol=1e-9, atol=1e-12)
    for name, gradient in there[1].items():
        np.testing.assert_allclose(here[1][name], gradient, rtol=1e-7, atol=1e-10, err_msg=name)
