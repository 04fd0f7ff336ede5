"""Pages are registered when they are asked for."""

from typing import TYPE_CHECKING

import pytest
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import Group

from portal.admin.site import PortalAdminSite

if TYPE_CHECKING:
    GroupAdmin = ModelAdmin[Group]
else:
    GroupAdmin = ModelAdmin


class Own(GroupAdmin):
    """What a project shows instead."""


def test_pages_are_loaded_by_the_first_who_asks_for_routes() -> None:
    site, calls = PortalAdminSite(), []
    site.register_when_needed(lambda: calls.append(site.register(Group, ModelAdmin)))
    assert not site.is_registered(Group)

    for _ in range(2):
        assert any("auth/group" in str(route.pattern) for route in site.get_urls())

    assert len(calls) == 1


def test_what_cannot_be_loaded_is_told_to_everybody_who_asks() -> None:
    def broken() -> None:
        raise ImportError("no module named pages")

    site = PortalAdminSite()
    site.register_when_needed(broken)

    for _ in range(2):
        with pytest.raises(ImportError, match="pages"):
            site.get_urls()


def test_a_project_takes_out_a_page_of_ours_when_it_is_ready() -> None:
    site = PortalAdminSite()
    site.register_when_needed(lambda: site.register(Group, ModelAdmin))

    site.unregister(Group)
    site.register(Group, Own)

    site.get_urls()
    assert isinstance(site.get_model_admin(Group), Own)
