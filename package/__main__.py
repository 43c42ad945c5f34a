"""`python -m lossproof` is the command line `lossproof`."""

from lossproof.conformance.__main__ import main

main()
