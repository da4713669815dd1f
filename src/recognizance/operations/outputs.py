"""The members of each operation's answer, for the type checker.

The types of mypy_boto3_rekognition describe what an SDK hands its user: they have the SDK's ``ResponseMetadata``, and
require members that Rekognition has stopped sending (``OrientationCorrection``). These are the same shapes without
them; the parts are mypy_boto3_rekognition's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_rekognition.literals import UserStatusType
    from mypy_boto3_rekognition.type_defs import (
        AssociatedFaceTypeDef,
        BoundingBoxTypeDef,
        ComparedFaceTypeDef,
        ComparedSourceImageFaceTypeDef,
        CompareFacesMatchTypeDef,
        DisassociatedFaceTypeDef,
        FaceDetailTypeDef,
        FaceMatchTypeDef,
        FaceRecordTypeDef,
        FaceTypeDef,
        SearchedFaceDetailsTypeDef,
        SearchedFaceTypeDef,
        SearchedUserTypeDef,
        UnindexedFaceTypeDef,
        UnsearchedFaceTypeDef,
        UnsuccessfulFaceAssociationTypeDef,
        UnsuccessfulFaceDeletionTypeDef,
        UnsuccessfulFaceDisassociationTypeDef,
        UserMatchTypeDef,
        UserTypeDef,
    )


class Empty(TypedDict):
    """The answer of an operation that has nothing to say but yes."""


class CreateCollection(TypedDict):
    """CreateCollection's answer."""

    StatusCode: int
    CollectionArn: str
    FaceModelVersion: str


class DescribeCollection(TypedDict):
    """DescribeCollection's answer."""

    FaceCount: int
    UserCount: int
    FaceModelVersion: str
    CollectionARN: str
    CreationTimestamp: datetime


class ListCollections(TypedDict):
    """ListCollections' answer: two lists of one length."""

    CollectionIds: list[str]
    FaceModelVersions: list[str]
    NextToken: NotRequired[str]


class DeleteCollection(TypedDict):
    """DeleteCollection's answer."""

    StatusCode: int


class DetectFaces(TypedDict):
    """DetectFaces' answer."""

    FaceDetails: list[FaceDetailTypeDef]


class CompareFaces(TypedDict):
    """CompareFaces' answer."""

    SourceImageFace: ComparedSourceImageFaceTypeDef
    FaceMatches: list[CompareFacesMatchTypeDef]
    UnmatchedFaces: list[ComparedFaceTypeDef]


class IndexFaces(TypedDict):
    """IndexFaces' answer."""

    FaceRecords: list[FaceRecordTypeDef]
    FaceModelVersion: str
    UnindexedFaces: list[UnindexedFaceTypeDef]


class ListFaces(TypedDict):
    """ListFaces' answer."""

    Faces: list[FaceTypeDef]
    FaceModelVersion: str
    NextToken: NotRequired[str]


class DeleteFaces(TypedDict):
    """DeleteFaces' answer."""

    DeletedFaces: list[str]
    UnsuccessfulFaceDeletions: list[UnsuccessfulFaceDeletionTypeDef]


class SearchFaces(TypedDict):
    """SearchFaces' answer."""

    SearchedFaceId: str
    FaceMatches: list[FaceMatchTypeDef]
    FaceModelVersion: str


class SearchFacesByImage(TypedDict):
    """SearchFacesByImage's answer."""

    SearchedFaceBoundingBox: BoundingBoxTypeDef
    SearchedFaceConfidence: float
    FaceMatches: list[FaceMatchTypeDef]
    FaceModelVersion: str


class ListUsers(TypedDict):
    """ListUsers' answer."""

    Users: list[UserTypeDef]
    NextToken: NotRequired[str]


class AssociateFaces(TypedDict):
    """AssociateFaces' answer."""

    AssociatedFaces: list[AssociatedFaceTypeDef]
    UnsuccessfulFaceAssociations: list[UnsuccessfulFaceAssociationTypeDef]
    UserStatus: UserStatusType


class DisassociateFaces(TypedDict):
    """DisassociateFaces' answer."""

    DisassociatedFaces: list[DisassociatedFaceTypeDef]
    UnsuccessfulFaceDisassociations: list[UnsuccessfulFaceDisassociationTypeDef]
    UserStatus: UserStatusType


class SearchUsers(TypedDict):
    """SearchUsers' answer; it names the probe that was given, a face or a user."""

    UserMatches: list[UserMatchTypeDef]
    FaceModelVersion: str
    SearchedFace: NotRequired[SearchedFaceTypeDef]
    SearchedUser: NotRequired[SearchedUserTypeDef]


class SearchUsersByImage(TypedDict):
    """SearchUsersByImage's answer; without ``SearchedFace`` when no face was searched for."""

    UserMatches: list[UserMatchTypeDef]
    FaceModelVersion: str
    SearchedFace: NotRequired[SearchedFaceDetailsTypeDef]
    UnsearchedFaces: list[UnsearchedFaceTypeDef]


class ListTagsForResource(TypedDict):
    """ListTagsForResource's answer."""

    Tags: dict[str, str]
