"""Every dialect of another framework than torch beside the library, where a version that it speaks of is installed."""

import numpy as np
import pytest
from drawn import BATCHES, options_of
from elsewhere import ADAPTERS, reference_pair
from test_packages import installed

from lossproof.spec import dialects

EXACT = ("plain", "unit rows")  # TensorFlow Similarity moves the positive of an anchor that has none
TARGETS = {  # whose gradient is another: none in Paddle, and that of another formula in MLX
    "paddle.nn.functional.cross_entropy with probabilities": "label",
    "mlx.nn.losses.cross_entropy with probabilities": "targets",
}
CASES = [
    pytest.param(dialect, own, batch, id=f"{dialect.name}({', '.join(f'{n}={v}' for n, v in own.items())}) {batch}")
    for dialect in dialects()
    if dialect.python and dialect.framework in ADAPTERS
    for own in options_of(dialect)
    for batch in (EXACT if dialect.library == "tensorflow-similarity" else BATCHES)
]


@pytest.mark.parametrize(("dialect", "own", "batch"), CASES)
def test_the_reference_gives_the_number_and_the_gradient_of_the_library(dialect, own, batch):
    if not installed(dialect):
        pytest.skip(f"{dialect.library} {dialect.versions} is not installed")
    there, here, roundoff = reference_pair(dialect, own, batch, seed=3)
    close = max(1e-9, 100 * roundoff)
    np.testing.assert_allclose(np.squeeze(here[0]), np.squeeze(there[0]), rtol=close, atol=close)
    for name, gradient in here[1].items():
        if TARGETS.get(dialect.name) == name:
            continue
        np.testing.assert_allclose(gradient, there[1][name], rtol=10 * close, atol=10 * close, err_msg=name)
