"""The text of the spec, and its loader.

`page("triplet_margin")` is one page with its signature, clauses and worked examples; `clauses()` is every
clause by id; `losses()` maps a loss to its page, and
`functions()` has what the pages say of other functions. Importing this loads no framework, not even numpy.
"""

from lossproof.spec.page import Clause, Example, Page, clauses, functions, losses, page, page_names

__all__ = ["Clause", "Example", "Page", "clauses", "functions", "losses", "page", "page_names"]
