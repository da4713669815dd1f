"""Turning shapes into functions, once per shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from botocore.model import ListShape, MapShape, Shape, StructureShape

F = TypeVar("F", bound="Callable[[Any], Any]")


class ShapeCompiler(ABC, Generic[F]):
    """Compiles each shape of a model into a function of one value, and keeps it.

    Requests then run through closures that hold what they need, instead of asking the model about every member of
    every request. A shape that contains itself is compiled like any other.
    """

    def __init__(self) -> None:
        self._compiled: dict[str, F] = {}

    def compile(self, shape: Shape) -> F:
        """Return the function for a shape."""
        name = shape.name
        if name not in self._compiled:
            # Whoever asks for the shape while it is being compiled gets a function that looks it up when called.
            self._compiled[name] = self._late(name)
            self._compiled[name] = self._make(shape)
        return self._compiled[name]

    def compile_all(self, shapes: Iterable[tuple[str, Shape | None]]) -> dict[str, F]:
        """Return the functions for an operation's shape each, by the operation's name, where it has one."""
        return {name: self.compile(shape) for name, shape in shapes if shape is not None}

    def _late(self, name: str) -> F:
        def late(value: Any) -> Any:  # noqa: ANN401 - whatever the compiled function takes and gives
            return self._compiled[name](value)

        return late  # type: ignore[return-value]  # the same signature, by construction

    def _make(self, shape: Any) -> F:  # noqa: ANN401 - one of botocore's shape classes, as its type name says
        match shape.type_name:
            case "structure":
                return self._structure(shape)
            case "list":
                return self._list(shape)
            case "map":
                return self._map(shape)
            case _:
                return self._scalar(shape)

    @abstractmethod
    def _structure(self, shape: StructureShape) -> F: ...

    @abstractmethod
    def _list(self, shape: ListShape) -> F: ...

    @abstractmethod
    def _map(self, shape: MapShape) -> F: ...

    @abstractmethod
    def _scalar(self, shape: Shape) -> F: ...


def wire_name(member: str) -> str:
    """Return a member's name as AWS's error messages spell it: ``CollectionId`` as ``collectionId``."""
    return member[:1].lower() + member[1:]
