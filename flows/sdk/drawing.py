"""A flow's graph without a run: inside a drawing, tasks are not called, but leave a node and a stand-in."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Self

from flows.sdk.annotations import Annotation
from flows.sdk.steps import Call, Steps


class FlowVisualizationError(RuntimeError):
    """The flow's code cannot go on with a stand-in. The text says what to do."""


class VisualizationUnsupportedError(RuntimeError):
    """The flow does something that cannot be drawn without running it."""


@dataclass(eq=False, slots=True)
class Node:
    """A call of a task or subflow; `upstream` are the calls whose results it was given."""

    name: str
    upstream: list["Node"] = field(default_factory=list)


class StandIn:
    """What a drawn task gives instead of its future or its result."""

    def __init__(self, value: Any = None) -> None:
        self._value = self if value is None else value

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        return self._value

    def wait(self, timeout: float | None = None) -> Self:
        return self

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        return self._value


class Drawing:
    """The calls of one flow, in order."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._sources: list[tuple[Any, Node]] = []  # what the nodes gave, told apart by identity

    def note(self, name: str, inputs: Iterable[Any], given: Any) -> Any:
        """A call with these inputs that gives `given` (None: a stand-in). Returns what it gives."""
        number = sum(node.name.rpartition("-")[0] == name for node in self.nodes)
        node = Node(f"{name}-{number}", self._upstream(inputs))
        self.nodes.append(node)
        stand_in = StandIn(given)
        self._sources += [(stand_in, node), (stand_in.result(), node)]
        return stand_in

    def _upstream(self, inputs: Iterable[Any]) -> list[Node]:
        values = list(_flattened(inputs))
        found = [node for value in values for source, node in self._sources if source is value]
        return list(dict.fromkeys(found))

    def as_dot(self, title: str) -> str:
        """The graph in DOT, the language of Graphviz."""
        lines = [f"digraph {_quoted(title)} {{"]
        lines += [f"  {_quoted(node.name)};" for node in self.nodes]
        lines += [f"  {_quoted(source.name)} -> {_quoted(node.name)};" for source, node in self._edges()]
        return "\n".join([*lines, "}"])

    def as_mermaid(self) -> str:
        """The graph as a flowchart in Mermaid."""
        ids = {id(node): f"n{number}" for number, node in enumerate(self.nodes)}
        lines = [f"    {ids[id(node)]}[{_quoted(node.name)}]" for node in self.nodes]
        lines += [f"    {ids[id(source)]} --> {ids[id(node)]}" for source, node in self._edges()]
        return "\n".join(["flowchart TD", *lines])

    def _edges(self) -> list[tuple[Node, Node]]:
        return [(source, node) for node in self.nodes for source in node.upstream]


current_drawing: ContextVar[Drawing | None] = ContextVar("current_drawing", default=None)


@contextmanager
def drawing() -> Iterator[Drawing]:
    """Draw instead of running, inside the block. Raises FlowVisualizationError if its code fails."""
    drawn = Drawing()
    token = current_drawing.set(drawn)
    try:
        yield drawn
    except VisualizationUnsupportedError:
        raise
    except Exception as error:
        raise FlowVisualizationError(
            f"The flow cannot be drawn, since its code needs the value of a task: {error!r}. "
            "Say by @task(viz_return_value=...) what the task shall return in drawings."
        ) from error
    finally:
        current_drawing.reset(token)


def drawn_call(
    drawn: Drawing, name: str, args: Iterable[Any], kwargs: Mapping[str, Any], given: Any, is_async: bool
) -> Any:
    """A direct call: its value, or for async code something to be awaited for it."""
    stand_in = drawn.note(name, [*args, *kwargs.values()], given)
    return stand_in if is_async else stand_in.result()


def refuse_map(name: str) -> None:
    """Raises VisualizationUnsupportedError: how many calls there are is known by their values alone."""
    raise VisualizationUnsupportedError(f"{name}.map() cannot be drawn without running the flow.")


def _flattened(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        yield value
        if isinstance(value, Annotation):
            yield from _flattened([value.value])
        elif isinstance(value, list | tuple | set):
            yield from _flattened(value)
        elif isinstance(value, dict):
            yield from _flattened(value.values())


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def drawn(fn: Callable[..., Any], args: Any, kwargs: Any) -> Steps[Drawing]:
    """What the function of a flow would do with these arguments. Raises as `drawing`."""
    with drawing() as picture:
        yield Call(fn, args, kwargs)
    return picture
