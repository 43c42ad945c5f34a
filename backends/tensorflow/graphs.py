"""How a `tf.function` takes the functions of this backend: as they are written."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import tensorflow as tf

P = ParamSpec("P")
T = TypeVar("T")


def as_written(function: Callable[P, T]) -> Callable[P, T]:
    """Keep AutoGraph from a function and from all that it calls.

    No branch and no loop of this backend hangs on the numbers of a tensor in Python, so there is nothing to convert;
    to convert it all the same took seconds at the first call of a `tf.function`.
    """
    unconverted: Callable[P, T] = tf.autograph.experimental.do_not_convert(function)
    return unconverted
