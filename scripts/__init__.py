"""What keeps the repository honest: run from its root, by ``make check`` and by whoever changes the command line."""
