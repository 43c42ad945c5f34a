"""Implementations side by side: one case in all of them, and the smallest case on which two of them differ."""
