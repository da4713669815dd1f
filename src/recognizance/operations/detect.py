"""DetectFaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recognizance.operations.images import read_picture
from recognizance.operations.registry import operation
from recognizance.operations.rendering import face_detail

if TYPE_CHECKING:
    from mypy_boto3_rekognition import type_defs as aws

    from recognizance.operations import outputs
    from recognizance.operations.context import Context


@operation("DetectFaces", missing="attributes beyond the default ones, and the 25 further landmarks of `ALL`")
def detect_faces(context: Context, request: aws.DetectFacesRequestTypeDef) -> outputs.DetectFaces:
    """Find the largest faces of a picture, at most 100; nothing is kept.

    Attributes that are asked for and not built are absent from the answer: no value is made up for them.
    """
    analyser = context.services.analysers.default()
    faces = analyser.detect(read_picture(context, request["Image"]))
    return {"FaceDetails": [face_detail(faces, row) for row in range(len(faces))]}
