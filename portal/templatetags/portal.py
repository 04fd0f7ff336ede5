"""`{% load portal %}`: the badge of a state, times and durations."""

from datetime import datetime

from django import template
from django.utils.safestring import SafeString

from portal.admin import looks

register = template.Library()


@register.simple_tag
def state_badge(state_type: str, state_name: str) -> SafeString:
    """`{% state_badge run.state_type run.state_name %}`"""
    return looks.badge(state_type, state_name)


@register.filter
def when(moment: datetime | None) -> SafeString:
    """A time as people say it; the exact one is its title."""
    return looks.when(moment)


@register.filter
def span(seconds: float | None) -> str:
    """Seconds as `4.6s` or `2h 5m`."""
    return looks.NOTHING if seconds is None else looks.span(seconds)


@register.filter
def head_line(message: str) -> str:
    """The first line of a state's message."""
    return looks.head_line(message)
