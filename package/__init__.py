"""What a metric-learning loss means, and whether an implementation means the same.

The package itself holds its version and `dialect`, and nothing else, so that importing one part loads no other:
`lossproof.spec`, `lossproof.reference`, `lossproof.backends.torch` (`.tensorflow`, `.jax`), `lossproof.conformance`,
`lossproof.testing`.
"""

from typing import Any

__all__ = ["__version__", "dialect"]


def __getattr__(name: str) -> Any:
    """Return the version of the installed distribution, or `dialect`, looked up when it is asked for."""
    if name == "dialect":
        from lossproof.backends.migration import dialect

        return dialect
    if name != "__version__":
        raise AttributeError(f"module 'lossproof' has no attribute {name!r}")
    from importlib.metadata import version

    return version("lossproof")
