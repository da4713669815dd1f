import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from recognizance.core.errors import AccessDeniedError
from recognizance.governance.principal import Principal
from recognizance.governance.roles import READING, ROLES, authorize

OPERATIONS = boto3.client(
    "rekognition", region_name="us-east-1", config=Config(signature_version=UNSIGNED)
).meta.service_model.operation_names

# An operation that neither reads nor appears here makes the test below fail until somebody has judged it.
READING_VERBS = ("Compare", "Describe", "Detect", "Get", "List", "Recognize", "Search")


def principal(role: str) -> Principal:
    return Principal("AKIAEXAMPLE", role, "123456789012")


def may(role: str, operation: str) -> bool:
    try:
        authorize(principal(role), operation)
    except AccessDeniedError:
        return False
    return True


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_administrator_may_do_everything_and_a_reader_what_changes_nothing(operation: str) -> None:
    assert may("administrator", operation)
    assert may("reader", operation) is operation.startswith(READING_VERBS)


def test_readers_are_allowed_only_what_exists() -> None:
    assert set(OPERATIONS) > READING


@pytest.mark.parametrize("role", ["", "Administrator", "root", "*"])
def test_roles_that_do_not_exist_may_do_nothing(role: str) -> None:
    assert role not in ROLES
    assert not any(may(role, operation) for operation in OPERATIONS)


def test_operations_that_nobody_has_judged_are_denied_to_readers() -> None:
    assert not may("reader", "GetEverything")


def test_a_denial_names_who_and_what() -> None:
    with pytest.raises(AccessDeniedError) as caught:
        authorize(principal("reader"), "IndexFaces")
    assert "arn:aws:iam::123456789012:user/AKIAEXAMPLE is not authorized to perform: rekognition:IndexFaces" in (
        caught.value.message
    )
