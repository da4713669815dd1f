"""Roles: what each may do. Whatever no role names is denied."""

from recognizance.core.errors import AccessDeniedError
from recognizance.governance.principal import Principal

ADMINISTRATOR = "administrator"
READER = "reader"
ROLES = (ADMINISTRATOR, READER)

READING = frozenset(
    {
        "CompareFaces",
        "DescribeCollection",
        "DescribeDataset",
        "DescribeProjectVersions",
        "DescribeProjects",
        "DescribeStreamProcessor",
        "DetectCustomLabels",
        "DetectFaces",
        "DetectLabels",
        "DetectModerationLabels",
        "DetectProtectiveEquipment",
        "DetectText",
        "GetCelebrityInfo",
        "GetCelebrityRecognition",
        "GetContentModeration",
        "GetFaceDetection",
        "GetFaceLivenessSessionResults",
        "GetFaceSearch",
        "GetLabelDetection",
        "GetMediaAnalysisJob",
        "GetPersonTracking",
        "GetSegmentDetection",
        "GetTextDetection",
        "ListCollections",
        "ListDatasetEntries",
        "ListDatasetLabels",
        "ListFaces",
        "ListMediaAnalysisJobs",
        "ListProjectPolicies",
        "ListStreamProcessors",
        "ListTagsForResource",
        "ListUsers",
        "RecognizeCelebrities",
        "SearchFaces",
        "SearchFacesByImage",
        "SearchUsers",
        "SearchUsersByImage",
    }
)
"""The operations that change nothing and start nothing. By name, so that a new operation is denied until judged."""


def allowed(role: str, operation: str) -> bool:
    """Return whether a role may call an operation."""
    return role == ADMINISTRATOR or (role == READER and operation in READING)


def authorize(principal: Principal, operation: str) -> None:
    """Return when the principal may call the operation.

    Raises:
        AccessDeniedError: It may not.
    """
    if not allowed(principal.role, operation):
        raise AccessDeniedError(
            f"User: arn:aws:iam::{principal.account_id}:user/{principal.access_key_id} is not authorized to perform: "
            f"rekognition:{operation} because the role {principal.role} does not allow it"
        )
