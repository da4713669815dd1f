"""Indexes: where vectors are searched, in memory. The database is the truth; an index can always be rebuilt."""

from recognizance.collections.index.cache import Cache
from recognizance.collections.index.coalesce import Coalescer
from recognizance.collections.index.exact import ExactIndex
from recognizance.collections.index.protocol import Hits, Index, Source
from recognizance.collections.index.scan import ScanIndex

__all__ = ["Cache", "Coalescer", "ExactIndex", "Hits", "Index", "ScanIndex", "Source"]
