"""``recognizance bench``: how fast this machine is.

``workload`` makes the pictures, ``pipeline``, ``indexing``, ``server`` and ``peer`` each measure one thing, ``faces``
runs them all in turns, and ``report`` is what comes out. ``search`` measures the search of large collections, and
``capacity`` what a machine serves. The method is explained in benchmarks/README.md of the
repository.
"""

from recognizance.cli.bench.commands import app

__all__ = ["app"]
