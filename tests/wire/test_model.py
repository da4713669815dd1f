from __future__ import annotations

import pytest
from botocore.session import Session

from recognizance.core import errors
from recognizance.core.errors import ServiceError, UnknownOperationError
from recognizance.wire.model import ServiceModel, service_model

# What AWS JSON services answer besides the exceptions of their model.
COMMON = {
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "RequestEntityTooLargeException",
    "RequestTimeoutException",
    "SerializationException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "UnsupportedOperationException",
    "ValidationException",
}


def codes() -> set[str]:
    return {kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)}


def test_the_operations_are_those_of_boto3() -> None:
    described = Session().get_service_model("rekognition")
    assert service_model().operations.keys() == set(described.operation_names)


def test_every_error_of_ours_is_one_that_clients_know() -> None:
    assert codes() <= service_model().errors.keys() | COMMON


@pytest.mark.parametrize("code", sorted(codes() | service_model().errors.keys() | {"Invented"}))
def test_every_error_is_400_but_faults_of_ours_throttling_and_bodies_too_large(code: str) -> None:
    expected = {"InternalServerError": 500, "ThrottlingException": 500, "RequestEntityTooLargeException": 413}
    assert service_model().status(code) == expected.get(code, 400)


def test_constraint_violations_have_the_code_that_the_models_text_names() -> None:
    described = Session().get_service_model("rekognition")
    for name, operation in service_model().operations.items():
        shape = described.operation_model(name).input_shape
        assert shape is not None
        member = shape.members.get("MaxResults")
        if member is not None and "a ValidationException error occurs" in member.documentation:
            assert operation.violation_code == "ValidationException"
    assert service_model().operations["IndexFaces"].violation_code == "InvalidParameterException"


def test_the_code_of_constraint_violations_can_be_switched() -> None:
    model = ServiceModel.load(validation_exception={"IndexFaces"})
    assert model.operations["IndexFaces"].violation_code == "ValidationException"
    assert model.operations["DescribeProjects"].violation_code == "InvalidParameterException"


def test_a_target_names_its_operation() -> None:
    assert service_model().operation_of_target("RekognitionService.IndexFaces").name == "IndexFaces"


@pytest.mark.parametrize(
    "target", [None, "", "IndexFaces", "RekognitionService.", "RekognitionService.indexfaces", "Other.IndexFaces"]
)
def test_any_other_target_is_an_unknown_operation(target: str | None) -> None:
    with pytest.raises(UnknownOperationError):
        service_model().operation_of_target(target)
