"""The text of the spec, and its loader.

`page("triplet_margin")` is one page with its signature, clauses and worked examples; `clauses()` is every clause by id;
`losses()` maps a loss to its page, `functions()` has what the pages say of other functions, `vectors(loss)` are the
frozen vectors of a loss, and `dialects()` are the public calls of other libraries. Importing this loads no framework,
not even numpy.
"""

from lossproof.spec.dialect import Dialect, Difference, dialect_schema, dialects
from lossproof.spec.dialect_lookup import find
from lossproof.spec.page import Clause, Example, Page, clauses, functions, losses, page, page_names, spec_version
from lossproof.spec.setting import Setting
from lossproof.spec.vector import Vector, vector_schema, vectors

__all__ = [
    "Clause",
    "Dialect",
    "Difference",
    "Example",
    "Page",
    "Setting",
    "Vector",
    "clauses",
    "dialect_schema",
    "dialects",
    "find",
    "functions",
    "losses",
    "page",
    "page_names",
    "spec_version",
    "vector_schema",
    "vectors",
]
