"""The one array type of the reference: numpy, float64 or wider."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Value: TypeAlias = np.float64 | Array
