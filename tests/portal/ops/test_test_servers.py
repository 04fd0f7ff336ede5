"""The ground other tests stand on: real servers, and children that share their data."""

import pytest
import redis
from django.conf import settings
from django.db import connection

from flows.models import Workspace
from tests.processes import RunningStack


@pytest.mark.django_db
def test_the_test_database_is_a_migrated_postgresql() -> None:
    assert connection.vendor == "postgresql"
    assert Workspace.objects.get().name == "default"


def test_redis_answers() -> None:
    assert redis.Redis.from_url(settings.REDIS_URL).ping()


def test_what_a_test_commits_its_children_see(stack: RunningStack) -> None:
    Workspace.objects.create(name="shared")

    result = stack.run("shell", "-v0", "-c", "print([w.name for w in Workspace.objects.order_by('name')])")

    assert result.stdout.strip() == "['default', 'shared']", result.stderr


def test_every_stack_starts_fresh(stack: RunningStack) -> None:
    assert Workspace.objects.count() == 1


def test_a_child_is_watched_while_it_runs(stack: RunningStack) -> None:
    child = stack.start("shell", "-c", "print('started'); import time; time.sleep(60)")

    child.wait_for("started")

    assert child.is_alive
