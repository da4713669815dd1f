"""``python -m recognizance`` is ``recognizance``."""

from recognizance.cli import main

if __name__ == "__main__":
    main()
