"""Vectors in a Milvus server or cluster, shared by every process that serves the same database."""

from recognizance.collections.index.milvus.index import MilvusIndex
from recognizance.collections.index.milvus.server import MilvusServer

__all__ = ["MilvusIndex", "MilvusServer"]
