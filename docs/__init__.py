"""The site: pages by hand, `conf.py` for Sphinx, and `generate/`, which makes the other pages."""
