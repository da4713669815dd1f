"""The way of the command line to the operations: the data folder itself, without a server in between."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from recognizance.core import log
from recognizance.core.errors import ImageTooLargeError, InvalidImageFormatError, InvalidS3ObjectError, SetupError
from recognizance.core.ids import new_id
from recognizance.governance.principal import Principal
from recognizance.governance.roles import ADMINISTRATOR
from recognizance.operations import Context, Services, call
from recognizance.wire.model import service_model
from recognizance.wire.validate import Validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from recognizance.core.settings import Settings

T = TypeVar("T")

LOCAL_PRINCIPAL = "local-command-line"
"""What stands in the place of an access key id: whoever can read the data folder is its administrator."""

_BUCKET = "local-files"


class LocalFiles:
    """Files of this machine as objects, so that a picture on disk takes the road of one in S3, with its limits."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._last: Path | None = None

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let what is wrong with a picture be said of the file: the one that was read last."""
        try:
            yield
        except (InvalidImageFormatError, ImageTooLargeError) as error:
            wrong = "is not a JPEG or PNG file that can be decoded"
            if isinstance(error, ImageTooLargeError):
                wrong = "is too large: a picture may have 15 MiB and 64 megapixels"
            raise SetupError(f"{self._last} {wrong}.") from error

    def image(self, path: Path) -> dict[str, Any]:
        """Return a request's ``Image`` member for a file."""
        self._paths.append(path)
        return {"S3Object": {"Bucket": _BUCKET, "Name": str(len(self._paths) - 1)}}

    def read(self, bucket: str, key: str, version: str | None, limit: int) -> bytes:
        """Return the bytes of a file that :meth:`image` was given; see ``ObjectStore``.

        Raises:
            SetupError: It cannot be read.
        """
        if bucket != _BUCKET or version is not None:
            raise InvalidS3ObjectError
        path = self._paths[int(key)]
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise SetupError(f"{path} cannot be read: {error.strerror}.") from error
        self._last = path
        if len(data) > limit:
            raise ImageTooLargeError
        return data


class Session:
    """An open data folder.

    Attributes:
        services: What is open.
        principal: Who asks: the local administrator.
    """

    def __init__(self, services: Services) -> None:
        self._files = LocalFiles()
        self.services = replace(services, objects=self._files)
        self.principal = Principal(LOCAL_PRINCIPAL, ADMINISTRATOR, services.settings.account_id)
        self._validator = Validator(service_model())

    def call(self, operation: str, /, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - the members of any request
        """Perform an operation as the server would: request validated, principal authorised.

        Raises:
            ServiceError: Whatever the operation answers.
        """
        self.check(operation, **request)
        with self._files.named():
            return call(self.services, self.principal, new_id(), operation, request)

    def check(self, operation: str, /, **request: Any) -> None:  # noqa: ANN401 - as above
        """Return when the service model allows a request.

        Raises:
            ServiceError: It does not.
        """
        self._validator.validate(service_model().operations[operation], request)

    def perform(self, function: Callable[[Context, Any], T], operation: str, request: Mapping[str, Any]) -> T:
        """Perform what is no operation of the API, on a request of the form of one that is; see :meth:`call`."""
        self._validator.validate(service_model().operations[operation], dict(request))
        with self._files.named():
            return function(self.context(), request)

    def image(self, path: Path) -> dict[str, Any]:
        """Return a request's ``Image`` member for a file."""
        return self._files.image(path)

    def context(self) -> Context:
        """Return the surroundings of one request, for what is no operation of the API."""
        return Context(self.principal, new_id(), self.services)


@contextmanager
def open_session(settings: Settings) -> Iterator[Session]:
    """Open the data folder; log lines that are no warnings would get in the way of the output.

    Raises:
        SetupError: The data folder or the database cannot be used.
    """
    quiet = "warning" if settings.log_level in {"debug", "info"} else settings.log_level
    log.configure(settings.model_copy(update={"log_level": quiet}))
    services = Services.open(settings)
    try:
        yield Session(services)
    finally:
        services.close()
