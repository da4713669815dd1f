"""CompareFaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recognizance.core.errors import InvalidParameterError
from recognizance.operations.images import read_picture
from recognizance.operations.registry import operation
from recognizance.operations.rendering import bounding_box, compared_face, confidence
from recognizance.operations.selection import largest_if_good, only_good

if TYPE_CHECKING:
    from mypy_boto3_rekognition import type_defs as aws
    from numpy.typing import NDArray

    from recognizance.operations import outputs
    from recognizance.operations.context import Context
    from recognizance.vision.contracts import Contract
    from recognizance.vision.faces import Faces

_DEFAULT_THRESHOLD = 80.0


@operation("CompareFaces")
def compare_faces(context: Context, request: aws.CompareFacesRequestTypeDef) -> outputs.CompareFaces:
    """Compare the largest face of one picture with all faces of another; nothing is kept.

    A face that the quality filter drops is not compared, and is in neither list.

    Raises:
        InvalidParameterError: One of the pictures has no face (that the quality filter lets pass).
    """
    quality_filter = request.get("QualityFilter", "NONE")
    threshold = request.get("SimilarityThreshold", _DEFAULT_THRESHOLD)
    analyser = context.services.analysers.default()

    source_picture = read_picture(context, request["SourceImage"])
    target_picture = read_picture(context, request["TargetImage"])
    source = largest_if_good(analyser.detect(source_picture), quality_filter)
    target = only_good(analyser.detect(target_picture), quality_filter)
    if not len(source) or not len(target):
        raise InvalidParameterError("Request has invalid parameters")

    source = analyser.embed(source_picture, source)
    target = analyser.embed(target_picture, target)
    similarities = _similarities(analyser.contract, source, target)
    order = np.argsort(-similarities, kind="stable")
    return {
        "SourceImageFace": {"BoundingBox": bounding_box(source, 0), "Confidence": confidence(source, 0)},
        "FaceMatches": [
            {"Similarity": float(similarities[row]), "Face": compared_face(target, row)}
            for row in order
            if similarities[row] >= threshold
        ],
        "UnmatchedFaces": [compared_face(target, row) for row in range(len(target)) if similarities[row] < threshold],
    }


def _similarities(contract: Contract, source: Faces, target: Faces) -> NDArray[np.float64]:
    """Return the similarity, 0 to 100, of the first source face to each of the (n,) target faces."""
    if source.embeddings is None or source.impostor_levels is None:
        raise ValueError("the source face has no embedding")
    if target.embeddings is None or target.impostor_levels is None:
        raise ValueError("the target faces have no embeddings")
    cosines = target.embeddings @ source.embeddings[0]
    return contract.similarity(cosines - (target.impostor_levels + source.impostor_levels[0]) / 2)
