"""Worked examples drawn: rows as points, the pairs that are compared, their distances, and what the margin reaches."""
