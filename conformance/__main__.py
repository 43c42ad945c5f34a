"""Entry of the command line; says in one line what is missing where the extra is not installed."""

import sys


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
    command()


if __name__ == "__main__":
    main()
