"""Entry of the command line; says in one line what is missing where the extra is not installed."""

import sys
import traceback


def main() -> None:
    """Run the command line."""
    try:
        from lossproof.conformance.command import main as command
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("lossproof"):
            raise
        sys.stderr.write(f"lossproof: {missing.name} is not installed: python -m pip install 'lossproof[certify]'\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("lossproof: interrupted\n")
        sys.exit(2)
    try:
        command()
    except Exception:  # of the judge itself: nothing is said of the implementation
        traceback.print_exc()
        sys.stderr.write("lossproof: this is a fault of the judge, not of the implementation; please report it\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
