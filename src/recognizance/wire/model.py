"""Rekognition's service model: the one place that knows what operations, shapes and errors are called.

It is read from the copy that botocore ships (``rekognition/2016-06-27/service-2.json``), so the server's contract
is the very file that boto3 and the AWS CLI are built from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from botocore.loaders import Loader
from botocore.model import ServiceModel as BotocoreModel

from recognizance.core.errors import UnknownOperationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from botocore.model import Shape, StructureShape

SERVICE = "rekognition"
API_VERSION = "2016-06-27"
CONTENT_TYPE = "application/x-amz-json-1.1"

_STATUS = MappingProxyType(
    {"InternalServerError": 500, "ThrottlingException": 500, "RequestEntityTooLargeException": 413}
)
"""The errors whose HTTP status is not 400. Rekognition answers even AccessDeniedException with 400."""

VALIDATION_EXCEPTION = frozenset(
    {
        "DescribeProjects",
        "DescribeProjectVersions",
        "ListDatasetEntries",
        "ListDatasetLabels",
        "ListProjectPolicies",
    }
)
"""Operations whose model text names ValidationException for a MaxResults out of range; it names
InvalidParameterException elsewhere."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the service.

    Attributes:
        name: Its name, such as ``IndexFaces``.
        input: The shape of its request; None when it takes no members.
        output: The shape of its response; None when it has no members.
        violation_code: The error code of a request that violates the model's constraints.
    """

    name: str
    input: StructureShape | None
    output: StructureShape | None
    violation_code: str


@dataclass(frozen=True, slots=True)
class ServiceModel:
    """The service, as its model describes it.

    Attributes:
        operations: Every operation by name.
        errors: Every modelled error's shape by its code.
        target_prefix: What comes before the operation's name in ``X-Amz-Target``.
    """

    operations: Mapping[str, Operation]
    errors: Mapping[str, Shape]
    target_prefix: str

    @classmethod
    def load(cls, validation_exception: AbstractSet[str] = VALIDATION_EXCEPTION) -> ServiceModel:
        """Read the model from botocore's data.

        The loader is built by hand because a session's loader also looks in the user's ``~/.aws/models``, and the
        contract must not depend on whose machine this is.

        Args:
            validation_exception: The operations that answer constraint violations with ValidationException.
        """
        loader = Loader(include_default_search_paths=False, extra_search_paths=[Loader.BUILTIN_DATA_PATH])
        described = BotocoreModel(loader.load_service_model(SERVICE, "service-2", API_VERSION), SERVICE)
        operations = {}
        for name in described.operation_names:
            operation = described.operation_model(name)
            code = "ValidationException" if name in validation_exception else "InvalidParameterException"
            operations[name] = Operation(name, operation.input_shape, operation.output_shape, code)
        return cls(
            operations=MappingProxyType(operations),
            errors=MappingProxyType({shape.name: shape for shape in described.error_shapes}),
            target_prefix=str(described.metadata["targetPrefix"]) + ".",
        )

    def operation_of_target(self, target: str | None) -> Operation:
        """Return the operation that an ``X-Amz-Target`` header names.

        Raises:
            UnknownOperationError: The header is absent or names none.
        """
        if target is None:
            raise UnknownOperationError(f"The X-Amz-Target header is missing: {self.target_prefix}<operation>.")
        operation = self.operations.get(target.removeprefix(self.target_prefix))
        if operation is None or not target.startswith(self.target_prefix):
            raise UnknownOperationError("The X-Amz-Target header names no operation of Amazon Rekognition.")
        return operation

    @staticmethod
    def status(code: str) -> int:
        """Return the HTTP status of an error code."""
        return _STATUS.get(code, 400)


@cache
def service_model() -> ServiceModel:
    """Return the service model, read once per process."""
    return ServiceModel.load()
