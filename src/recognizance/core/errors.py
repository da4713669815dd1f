"""Errors, each named as Rekognition names it.

A :class:`ServiceError` is an answer: any room may raise one, nobody but the wire and the command line turns it into
bytes, and its HTTP status is looked up in the service model there. A :class:`SetupError` is for the operator:
something is missing on this machine, and the message names the cure.

The codes are the exception shapes of Rekognition's service model, apart from the common codes of AWS JSON services
(authentication, serialisation), which no service model lists.
"""

from typing import ClassVar


class RecognizanceError(Exception):
    """The base of every error that this project raises on purpose."""


class SetupError(RecognizanceError):
    """Something this machine needs is missing or wrong; the message says what cures it."""


class ServiceError(RecognizanceError):
    """An error answer of the API.

    Attributes:
        code: The exception's name in the service model, sent as ``__type`` and ``Code``.
        message: What the caller reads.
        members: Further top-level members of the modelled exception, by name.
    """

    code: ClassVar[str] = "InternalServerError"

    def __init__(self, message: str = "", **members: str) -> None:
        super().__init__(message)
        self.message = message
        self.members = members


class InternalServerError(ServiceError):
    """A fault of ours. The caller learns the request id, the log learns the rest."""


class InvalidParameterError(ServiceError):
    """A semantic violation: no face where one is required, an unknown FaceId, a member out of range."""

    code = "InvalidParameterException"


class ValidationError(ServiceError):
    """A constraint violation, on the operations whose model text names this code (behaviour: projects, datasets)."""

    code = "ValidationException"


class InvalidImageFormatError(ServiceError):
    """Neither JPEG nor PNG, or a file that does not decode."""

    code = "InvalidImageFormatException"

    def __init__(self, message: str = "Request has invalid image format") -> None:
        super().__init__(message)


class ImageTooLargeError(ServiceError):
    """More bytes or pixels than allowed."""

    code = "ImageTooLargeException"

    def __init__(self, message: str = "Image size is too large") -> None:
        super().__init__(message)


class InvalidS3ObjectError(ServiceError):
    """A bucket, key or version that does not exist, or that may not be read."""

    code = "InvalidS3ObjectException"

    def __init__(
        self,
        message: str = ("Unable to get object metadata from S3. Check object key, region and/or access permissions."),
    ) -> None:
        super().__init__(message)


class ResourceNotFoundError(ServiceError):
    """A collection, user, or tagged resource that does not exist."""

    code = "ResourceNotFoundException"


class ResourceAlreadyExistsError(ServiceError):
    """CreateCollection with an id that is taken."""

    code = "ResourceAlreadyExistsException"


class ConflictError(ServiceError):
    """A user that exists already, or that changed under the caller's hands."""

    code = "ConflictException"


class IdempotentParameterMismatchError(ServiceError):
    """A ClientRequestToken used again with other parameters."""

    code = "IdempotentParameterMismatchException"


class ServiceQuotaExceededError(ServiceError):
    """A full collection, a user with 100 faces, a resource with 200 tags."""

    code = "ServiceQuotaExceededException"


class InvalidPaginationTokenError(ServiceError):
    """A NextToken that this server did not issue for this request."""

    code = "InvalidPaginationTokenException"

    def __init__(self, message: str = "Invalid Pagination Token") -> None:
        super().__init__(message)


class ThroughputExceededError(ServiceError):
    """The server is at its limit; every SDK retries this one."""

    code = "ProvisionedThroughputExceededException"

    def __init__(self, message: str = "Provisioned Rate exceeded") -> None:
        super().__init__(message)


class TemporarilyUnavailableError(ServiceError):
    """Something this server works with, such as the search engine, does not answer; every SDK retries this one."""

    code = "ThrottlingException"

    def __init__(
        self, message: str = "The service is temporarily unable to process the request. Try your call again."
    ) -> None:
        super().__init__(message)


class AccessDeniedError(ServiceError):
    """The principal is known, and may not."""

    code = "AccessDeniedException"


class MissingAuthenticationTokenError(ServiceError):
    """A request without a signature."""

    code = "MissingAuthenticationTokenException"


class UnrecognizedClientError(ServiceError):
    """An access key that does not exist or is disabled, or a session token that does not belong to it."""

    code = "UnrecognizedClientException"


class InvalidSignatureError(ServiceError):
    """A signature that does not match, is expired or is from the future."""

    code = "InvalidSignatureException"


class IncompleteSignatureError(ServiceError):
    """An Authorization header that lacks a part."""

    code = "IncompleteSignatureException"


class UnknownOperationError(ServiceError):
    """A target that the service model does not know."""

    code = "UnknownOperationException"


class UnsupportedOperationError(ServiceError):
    """An operation that Rekognition has and this version of Recognizance has not built yet."""

    code = "UnsupportedOperationException"


class SerializationError(ServiceError):
    """A body that is not the JSON the operation takes."""

    code = "SerializationException"


class RequestTooLargeError(ServiceError):
    """A body larger than the server reads."""

    code = "RequestEntityTooLargeException"


class RequestTimeoutError(ServiceError):
    """A client that did not send its body in time; SDKs try again."""

    code = "RequestTimeoutException"
