"""docs/agents.md speaks of options and variables that there are."""

import re

import pytest

from agents.management.commands.rqworker import Command as Agent
from agents.management.commands.scheduler import Command as Scheduler
from portal.management.commands.deploy import Command as Deploy
from tests.processes import PROJECT

PAGE = (PROJECT / "docs" / "agents.md").read_text()
OPTIONS = sorted(set(re.findall(r"(?<!\w)--[a-z][a-z-]+", PAGE)))
VARIABLES = sorted(set(re.findall(r"\b(?:AGENT|PORTAL)_[A-Z_]+", PAGE)))


def test_the_page_names_some() -> None:
    assert len(OPTIONS) >= 7
    assert len(VARIABLES) >= 6


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_is_known(option: str) -> None:
    parsers = [command().create_parser("manage.py", "it") for command in (Agent, Scheduler, Deploy)]
    assert any(option in parser.format_help() for parser in parsers)


@pytest.mark.parametrize("variable", VARIABLES)
def test_each_variable_is_read(variable: str) -> None:
    sources = [*(PROJECT / "agents").glob("*.py"), PROJECT / "portal" / "settings.py"]
    assert any(f'"{variable}"' in source.read_text() for source in sources)
