"""Losses of repositories that are no packages, typed anew from their formulas, and what is known to fail in them.

Nothing here is copied. A module is a repository, or what several of them share; a function does what that of the
repository does at the commit that its `Implementation` names, with its kinks, floors, denominators and exceptions. The
adapters below the formulas say which setting of a page each is. Known failures stand in the `.toml` of the module.
"""
