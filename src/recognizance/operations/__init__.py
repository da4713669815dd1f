"""The API itself: one module per group, one plain function per operation, and the registry that finds them."""

from recognizance.operations import collections, compare, detect, faces, tags, users
from recognizance.operations.context import Context, Services
from recognizance.operations.registry import OPERATIONS, Operation, call

# Importing a group's module enters its operations in the table.
GROUPS = (collections, compare, detect, faces, tags, users)

__all__ = ["GROUPS", "OPERATIONS", "Context", "Operation", "Services", "call"]
