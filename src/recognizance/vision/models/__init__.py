"""The models: what is known of them, fetching, conversion, and the folder of installed files."""

from recognizance.vision.models.manifest import Manifest
from recognizance.vision.models.progress import Progress
from recognizance.vision.models.store import ModelStore, Outcome

__all__ = ["Manifest", "ModelStore", "Outcome", "Progress"]
