"""A figure for a worked example."""

from lossproof.spec import Example


def figure(example: Example) -> str:
    """Return it."""
    return ""
