"""The text of the spec, and its loader.

`page("triplet_margin")` is one page with its signature, clauses and worked examples; `clauses()` is every clause by id;
`losses()` maps a loss to its page, `functions()` has what the pages say of other functions, and `vectors(loss)` are the
frozen vectors of a loss. Importing this loads no framework, not even numpy.
"""

from lossproof.spec.page import Clause, Example, Page, clauses, functions, losses, page, page_names, spec_version
from lossproof.spec.vector import Vector, vector_schema, vectors

__all__ = [
    "Clause",
    "Example",
    "Page",
    "Vector",
    "clauses",
    "functions",
    "losses",
    "page",
    "page_names",
    "spec_version",
    "vector_schema",
    "vectors",
]
