"""Names of runs: words from coolname, or a template over the parameters."""

from collections.abc import Mapping
from typing import Any


def random_name() -> str:
    """Two words that people can remember and say, such as "brave-otter"."""
    from coolname import generate_slug

    return str(generate_slug(2))


def from_template(template: str, parameters: Mapping[str, Any], what: str) -> str:
    """`template` with `{parameter}` filled in. Raises ValueError naming a parameter that is not there."""
    try:
        return template.format(**parameters)
    except (KeyError, IndexError, AttributeError) as error:
        known = ", ".join(parameters) or "none"
        raise ValueError(
            f"The {what} template {template!r} cannot be filled in: {error}. Parameters are: {known}."
        ) from error
