"""How an installation tells how far it has come."""

from typing import Protocol


class Progress(Protocol):
    """Told of every file that is fetched."""

    def begin(self, description: str, total: int) -> None:
        """Start on a file.

        Args:
            description: What is fetched, for people.
            total: Its size in bytes.
        """
        ...

    def advance(self, size: int) -> None:
        """Count ``size`` more bytes of the present file."""
        ...

    def end(self) -> None:
        """End the present file, complete or not."""
        ...


class Silent:
    """Tells nobody."""

    def begin(self, description: str, total: int) -> None:
        """Do nothing."""

    def advance(self, size: int) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""
