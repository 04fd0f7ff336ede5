"""Names of runs: words from coolname, or a template over the parameters."""

from collections.abc import Mapping
from typing import Any

# Words of coolname that do not belong on a page that colleagues share.
UNWANTED = frozenset({"booby", "chubby", "curvy", "demonic", "fat", "kickass", "sexy"})


def random_name() -> str:
    """Two words that people can remember and say, such as "brave-otter"."""
    from coolname import generate

    while True:
        words: list[str] = generate(2)
        if UNWANTED.isdisjoint(words):
            return "-".join(words)


def from_template(template: str, parameters: Mapping[str, Any], what: str) -> str:
    """`template` with `{parameter}` filled in. Raises ValueError naming a parameter that is not there."""
    try:
        return template.format(**parameters)
    except (KeyError, IndexError, AttributeError) as error:
        known = ", ".join(parameters) or "none"
        raise ValueError(
            f"The {what} template {template!r} cannot be filled in: {error}. Parameters are: {known}."
        ) from error
