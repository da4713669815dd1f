"""Indexes: where vectors are searched, in memory. The database is the truth; an index can always be rebuilt."""

from recognizance.collections.index.exact import ExactIndex
from recognizance.collections.index.protocol import Hits, Index

__all__ = ["ExactIndex", "Hits", "Index"]
