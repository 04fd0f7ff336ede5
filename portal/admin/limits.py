"""Concurrency limits: how much is taken, and by whom."""

from typing import Any

from django.contrib.admin import display
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.admin.agents import lamp
from portal.admin.looks import when
from portal.admin.scoped import ScopedAdmin, ScopedInline
from runs.models import ConcurrencyLimit, Slot, Waiter

SHOWN = 3


class HolderInline(ScopedInline):
    """Who holds slots now. Removing a row frees its slots."""

    model = Slot
    verbose_name = "holder"
    verbose_name_plural = "held by"
    fields = readonly_fields = ("who", "slots", "since", "until")
    deletable = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        held = Slot.held().values_list("id", flat=True)
        return super().get_queryset(request).filter(id__in=held).select_related("limit", "flow_run")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="holder")
    def who(self, slot: Slot) -> SafeString | str:
        return holder_of(slot)

    @display(description="slots")
    def slots(self, slot: Slot) -> int:
        return slot.occupied_now(slot.limit.slot_decay_per_second)

    @display(description="since")
    def since(self, slot: Slot) -> SafeString:
        return when(slot.acquired)

    @display(description="at most until")
    def until(self, slot: Slot) -> SafeString:
        return when(slot.expires)


class WaiterInline(ScopedInline):
    """Who stands in line, the next one first."""

    model = Waiter
    verbose_name = "waiter"
    verbose_name_plural = "waiting, in this order"
    fields = readonly_fields = ("who", "wanted", "for_how_long")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        present = Waiter.present().values_list("id", flat=True)
        line = super().get_queryset(request).filter(id__in=present).select_related("flow_run")
        return line.order_by("since", "lease")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="who")
    def who(self, waiter: Waiter) -> SafeString | str:
        return holder_of(waiter)

    @display(description="since")
    def for_how_long(self, waiter: Waiter) -> SafeString:
        return when(waiter.since)


class ConcurrencyLimitAdmin(ScopedAdmin):
    """The limits that `concurrency()` and `rate_limit()` ask for."""

    list_display = ("name", "state", "taken", "holders", "waiting", "rate", "workspace")
    list_select_related = ("workspace",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("workspace", "name", "limit", "active", "slot_decay_per_second")
    inlines = (HolderInline, WaiterInline)
    empty_text = (
        "No limits yet. One says how many slots concurrency() and rate_limit() give to flows of this name."
    )
    addable = deletable = True

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        """Nobody holds a limit that is not there yet."""
        return self.inlines if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        held = Prefetch("slots", Slot.held().select_related("flow_run"), to_attr="held")
        line = Prefetch("waiters", Waiter.present(), to_attr="line")
        return super().get_queryset(request).prefetch_related(held, line)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Flows ask for it by this name."""
        return ("workspace", "name") if obj else ()

    @display(description="state")
    def state(self, limit: ConcurrencyLimit) -> SafeString:
        return lamp(limit.active, "active", "off")

    @display(description="taken")
    def taken(self, limit: Any) -> str:
        decay = limit.slot_decay_per_second
        if limit.limit == 0 and limit.active:
            return "closed: a limit of 0"
        return f"{sum(slot.occupied_now(decay) for slot in limit.held)} of {limit.limit}"

    @display(description="held by")
    def holders(self, limit: Any) -> SafeString:
        shown = [holder_of(slot) for slot in limit.held[:SHOWN]]
        more = f", and {len(limit.held) - SHOWN} more" if len(limit.held) > SHOWN else ""
        return format_html("{}" + ", {}" * (len(shown) - 1) + "{}", *shown, more) if shown else SafeString("")

    @display(description="waiting")
    def waiting(self, limit: Any) -> str:
        return str(len(limit.line)) if limit.line else ""

    @display(description="frees itself")
    def rate(self, limit: ConcurrencyLimit) -> str:
        return f"{limit.slot_decay_per_second:g} a second" if limit.slot_decay_per_second else ""


def holder_of(slot: Slot | Waiter) -> SafeString | str:
    """The run that holds or wants the slots, as a link; else what it said of itself: Prefect's clients
    say nothing."""
    if slot.flow_run is None:
        unsaid = format_html('<span class="quiet" title="lease {}">did not say who</span>', slot.lease)
        return slot.holder or unsaid
    url = reverse("admin:runs_flowrun_change", args=[slot.flow_run.pk])
    return format_html('<a href="{}">{}</a>', url, slot.flow_run.name)
