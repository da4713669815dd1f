"""``recognizance demo``: everything once, on real pictures, through a real server.

``story`` is what is done with boto3, ``cards`` draws it, and ``command`` gets ready before and reports after.
"""

from recognizance.cli.demo.command import command

__all__ = ["command"]
