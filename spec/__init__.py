"""The text of the spec, and its loader.

`page("triplet_margin")` is one page with its signature, clauses and worked examples; `clauses()` is every
clause by id; `losses()` maps a function's name to its page. Importing this loads no framework, not even numpy.
"""

from lossproof.spec.page import Clause, Example, Page, clauses, losses, page, page_names

__all__ = ["Clause", "Example", "Page", "clauses", "losses", "page", "page_names"]
