"""Public implementations that are judged as they stand, and what is known to fail in them.

Each is an `Implementation` object; its known failures stand beside it in `<name>.toml`, one entry a finding, each
reproduced by hand with the line in it. `python -m tox run -e peers` judges them all.
"""
