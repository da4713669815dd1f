"""``recognizance collections``: the collections of a data folder."""

from recognizance.cli.collections import manage, moving, upkeep
from recognizance.cli.collections.app import app
from recognizance.cli.collections.manage import names

__all__ = ["app", "manage", "moving", "names", "upkeep"]
