"""Marks on arguments: how an input is looked at before it reaches the function, which gets it unmarked."""

from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


class Annotation(Generic[T]):
    """A marked value. `unwrap()` gives the value back, `rewrap(other)` marks another one alike."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def unwrap(self) -> T:
        return self.value

    def rewrap(self, value: Any) -> Self:
        return type(self)(value)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(other.value == self.value)

    def __hash__(self) -> int:
        return hash((type(self), self.value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class Unmapped(Annotation[T]):
    """Passed whole to every call that `.map` makes, not item by item."""


class AllowFailure(Annotation[T]):
    """Futures and states in it may have failed: the function then gets the exception in their place."""


class Quote(Annotation[T]):
    """Passed as it is: futures in it are neither looked for nor waited for.

    Saves the look through a large collection. A flow that returns `quote(value)` completes with the value,
    whatever it holds, also a failed state.
    """

    def unquote(self) -> T:
        return self.value


class Opaque(Annotation[T]):
    """A future or state in it is replaced by its result; what a collection holds is not looked at."""


unmapped, allow_failure, quote, opaque = Unmapped, AllowFailure, Quote, Opaque
