"""The command line."""

import sys


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        from recognizance.cli.app import app

        app(prog_name="recognizance")
    except KeyboardInterrupt:  # before the framework listens for it, or after
        sys.exit(130)
