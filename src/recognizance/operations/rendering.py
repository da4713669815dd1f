"""Faces as the API shows them: ratios of the picture, percentages, and Rekognition's names.

Sources: the shapes FaceDetail, ComparedFace, Landmark, Pose and ImageQuality of the API reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_rekognition.literals import LandmarkTypeType
    from mypy_boto3_rekognition.type_defs import (
        BoundingBoxTypeDef,
        ComparedFaceTypeDef,
        FaceDetailTypeDef,
        FaceMatchTypeDef,
        FaceTypeDef,
        ImageQualityTypeDef,
        LandmarkTypeDef,
        PoseTypeDef,
        UserMatchTypeDef,
    )

    from recognizance.collections.model import FaceMatch, StoredFace, UnsuccessfulFace, UserMatch
    from recognizance.vision.faces import Faces

# The order in which Rekognition lists them, each with its row in Faces.landmarks.
_LANDMARKS: tuple[tuple[LandmarkTypeType, int], ...] = (
    ("eyeLeft", 0),
    ("eyeRight", 1),
    ("mouthLeft", 3),
    ("mouthRight", 4),
    ("nose", 2),
)


def bounding_box(faces: Faces, row: int) -> BoundingBoxTypeDef:
    """Return a face's box as ratios of the picture's sides; a face cut by the edge reaches below 0 or above 1."""
    left, top, width, height = (float(value) for value in faces.box_ratios[row])
    return {"Width": width, "Height": height, "Left": left, "Top": top}


def confidence(faces: Faces, row: int) -> float:
    """Return how sure the detector is that this is a face, 0 to 100."""
    return min(max(float(faces.scores[row]) * 100, 0.0), 100.0)


def _landmarks(faces: Faces, row: int) -> list[LandmarkTypeDef]:
    width, height = faces.image_size
    points = faces.landmarks[row]
    return [
        {"Type": name, "X": float(points[i, 0]) / width, "Y": float(points[i, 1]) / height} for name, i in _LANDMARKS
    ]


def _pose(faces: Faces, row: int) -> PoseTypeDef:
    roll, yaw, pitch = (float(value) for value in faces.pose[row])
    return {"Roll": roll, "Yaw": yaw, "Pitch": pitch}


def _quality(faces: Faces, row: int) -> ImageQualityTypeDef:
    return {"Brightness": float(faces.brightness[row]), "Sharpness": float(faces.sharpness[row])}


def face_detail(faces: Faces, row: int) -> FaceDetailTypeDef:
    """Return the attributes of a face that Rekognition calls its default ones."""
    return {
        "BoundingBox": bounding_box(faces, row),
        "Landmarks": _landmarks(faces, row),
        "Pose": _pose(faces, row),
        "Quality": _quality(faces, row),
        "Confidence": confidence(faces, row),
    }


def compared_face(faces: Faces, row: int) -> ComparedFaceTypeDef:
    """Return a face of CompareFaces' target picture."""
    return {
        "BoundingBox": bounding_box(faces, row),
        "Confidence": confidence(faces, row),
        "Landmarks": _landmarks(faces, row),
        "Pose": _pose(faces, row),
        "Quality": _quality(faces, row),
    }


def stored_face(face: StoredFace) -> FaceTypeDef:
    """Return a face of a collection."""
    left, top, width, height = face.box
    shown: FaceTypeDef = {
        "FaceId": face.face_id,
        "BoundingBox": {"Width": width, "Height": height, "Left": left, "Top": top},
        "ImageId": face.image_id,
        "Confidence": face.confidence,
        "IndexFacesModelVersion": face.contract_version,
    }
    if face.external_image_id is not None:
        shown["ExternalImageId"] = face.external_image_id
    if face.user_id is not None:
        shown["UserId"] = face.user_id
    return shown


def face_matches(matches: Iterable[FaceMatch]) -> list[FaceMatchTypeDef]:
    """Return what a search for faces found, in its order."""
    return [{"Similarity": match.similarity, "Face": stored_face(match.face)} for match in matches]


def user_matches(matches: Iterable[UserMatch]) -> list[UserMatchTypeDef]:
    """Return what a search for users found, in its order."""
    return [
        {"Similarity": match.similarity, "User": {"UserId": match.user.user_id, "UserStatus": match.user.status}}
        for match in matches
    ]


def unsuccessful(face: UnsuccessfulFace) -> dict[str, Any]:
    """Return a face that a request could not be served for: UnsuccessfulFaceDeletion, -Association, -Disassociation.

    The three shapes differ only in which reasons they know; the collections room gives each its own.
    """
    shown: dict[str, Any] = {"FaceId": face.face_id, "Reasons": list(face.reasons)}
    if face.user_id is not None:
        shown["UserId"] = face.user_id
    if face.confidence is not None:
        shown["Confidence"] = face.confidence
    return shown
