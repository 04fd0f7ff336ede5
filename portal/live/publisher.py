"""Publishes live messages to the WebSocket groups: one round trip on a kept connection."""

from channels.layers import get_channel_layer
from django.conf import settings

from agents import doorbell
from agents.hints import hint
from flows.sdk.states import StateType
from runs.announce import EventsStored, Message, RunChanged

ENDING = frozenset({StateType.CANCELLING, StateType.CANCELLED})


def run_group(run_id: object) -> str:
    """The group of the pages that show this run."""
    return f"run.{run_id}"


def workspace_group(workspace_id: object) -> str:
    """The group of the pages that list this workspace's runs."""
    return f"runs.{workspace_id}"


def events_group(workspace_id: object) -> str:
    """The group of the sockets that follow this workspace's events."""
    return f"events.{workspace_id}"


def publish(*messages: Message) -> None:
    """Send messages to those who listen and, if one asks for the end of a run that is executed, to its agent.

    The channel name and the body are those of channels_redis' pub/sub layer, whose own `group_send`
    would open an event loop and a connection per call; a test holds us to a real consumer.
    """
    pipeline = doorbell.connection().pipeline(transaction=False)
    for message in messages:
        kind, groups = _address(message)
        body = get_channel_layer().serialize({"type": kind, **message.as_json()})
        for group in groups:
            pipeline.publish(f"{settings.CHANNEL_PREFIX}__group__{group}", body)
        if isinstance(message, RunChanged) and message.state_type in ENDING:
            hint(pipeline, message.run_id)
    pipeline.execute()


def _address(message: Message) -> tuple[str, list[str]]:
    """The kind of the message, and the groups that get it: a run's page, and lists of its workspace."""
    if isinstance(message, EventsStored):
        return "events.stored", [events_group(message.workspace_id)]
    return "run.changed", [run_group(message.run_id), workspace_group(message.workspace_id)]
