"""The analyser: a picture's faces, found, measured and embedded under one model contract."""

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import structlog

from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings
from recognizance.vision.contracts import NAMES, Contract, load_contract
from recognizance.vision.detect import find_faces
from recognizance.vision.detectors import Detector
from recognizance.vision.detectors.centerface import CenterFace
from recognizance.vision.detectors.yunet import YuNet
from recognizance.vision.embedders import Embedder
from recognizance.vision.embedders.chips import DLIB, MOBILEFACENET, ChipEmbedder
from recognizance.vision.faces import Faces, FloatArray
from recognizance.vision.image import Picture
from recognizance.vision.models import ModelStore
from recognizance.vision.pose import head_pose
from recognizance.vision.quality import measure
from recognizance.vision.refine import LandmarkRefiner
from recognizance.vision.runtime import Network, Runtime

log = structlog.get_logger(__name__)

DETECTORS: dict[str, Callable[[Network], Detector]] = {"centerface": CenterFace, "yunet": YuNet}
CHIP_FORMATS = {"dlib_face_recognition_resnet_v1": DLIB, "mobilefacenet": MOBILEFACENET}


class FaceAnalyser:
    """Finds, measures and embeds faces. Safe to call from many threads, which then share batches.

    Args:
        contract: The contract whose networks these are.
        detector: Finds faces.
        refiner: Finds their landmarks again, where the detector's are not good enough.
        embedder: Embeds them.
        impostor: (n, dimensions) embeddings to (n, 1) impostor levels.
    """

    def __init__(
        self,
        contract: Contract,
        detector: Detector,
        refiner: LandmarkRefiner | None,
        embedder: Embedder,
        impostor: Network,
    ) -> None:
        self.contract = contract
        self._detector, self._refiner, self._embedder, self._impostor = detector, refiner, embedder, impostor

    def detect(self, picture: Picture) -> Faces:
        """Return the picture's faces, 100 at most, largest first, with pose and quality and without embeddings."""
        found = find_faces(self._detector, picture.pixels)
        if self._refiner is not None:
            found = found._replace(landmarks=self._refiner(picture.pixels, found.boxes, found.landmarks))
        faces = Faces.detected((picture.width, picture.height), *found)
        if len(faces):
            faces = replace(faces, pose=head_pose(faces.landmarks))
        return measure(picture.pixels, faces, self.contract.quality_weights)

    def embed(self, picture: Picture, faces: Faces) -> Faces:
        """Return these faces of the picture with embeddings and impostor levels."""
        embeddings = self._embedder(picture.pixels, faces.landmarks)
        return replace(faces, embeddings=embeddings, impostor_levels=self.impostor_levels(embeddings))

    def impostor_levels(self, embeddings: FloatArray) -> FloatArray:
        """Predict the (n,) mean cosines of (n, d) embeddings to their nearest strangers."""
        if not len(embeddings):
            return np.zeros(0, np.float32)
        return self._impostor(embeddings)[0].reshape(-1)


class Analysers:
    """Loads one analyser for each contract when it is first asked for, and keeps it.

    Args:
        settings: Where the models are, which contract is the default, and what runs them.
    """

    def __init__(self, settings: Settings) -> None:
        self.store = ModelStore(settings)
        self._settings = settings
        self._runtime: Runtime | None = None
        self._loaded: dict[str, FaceAnalyser] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> FaceAnalyser:
        """Return the analyser of a contract.

        Raises:
            SetupError: A model is not installed, or there is no such contract; the message names the cure.
        """
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(load_contract(name))
            return self._loaded[name]

    def default(self) -> FaceAnalyser:
        """Return the analyser of the contract that new collections take: the setting, or the best installed."""
        return self.get(self.default_name())

    def default_name(self) -> str:
        """Return the name of the default contract.

        Raises:
            SetupError: No contract is installed.
        """
        if self._settings.contract != "auto":
            return self._settings.contract
        for name in NAMES:
            if self.installed(name):
                return name
        raise SetupError("No face models are installed; run: recognizance models pull")

    def installed(self, name: str) -> bool:
        """Tell whether every model of a contract is installed."""
        return all(self.store.installed(model) for model in load_contract(name).model_names)

    def close(self) -> None:
        """Forget the loaded networks."""
        with self._lock:
            self._loaded.clear()

    @property
    def runtime(self) -> Runtime:
        """What runs the networks.

        Raises:
            SetupError: The back end that the settings ask for is not installed.
        """
        if self._runtime is None:
            self._runtime = Runtime(self._settings)
        return self._runtime

    def _load(self, contract: Contract) -> FaceAnalyser:
        def load(name: str) -> Network:
            return self.runtime.load(self.store.path(name))

        refiner = LandmarkRefiner(CenterFace(load(contract.refiner))) if contract.refiner else None
        analyser = FaceAnalyser(
            contract,
            DETECTORS[contract.detector](load(contract.detector)),
            refiner,
            ChipEmbedder(load(contract.embedder), CHIP_FORMATS[contract.embedder], contract.dimensions),
            load(contract.impostor),
        )
        log.info("models loaded", contract=contract.name, version=contract.version, runtime=self.runtime.name)
        return analyser
