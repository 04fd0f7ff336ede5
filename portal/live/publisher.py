"""Publishes live messages to the WebSocket groups: one PUBLISH on a kept connection."""

from channels.layers import get_channel_layer
from django.conf import settings

from agents import doorbell
from agents.hints import hint
from flows.sdk.states import StateType
from runs.announce import RunChanged

ENDING = frozenset({StateType.CANCELLING, StateType.CANCELLED})


def run_group(run_id: object) -> str:
    """The group of the pages that show this run."""
    return f"run.{run_id}"


def workspace_group(workspace_id: object) -> str:
    """The group of the pages that list this workspace's runs."""
    return f"runs.{workspace_id}"


def publish(message: RunChanged) -> None:
    """Send `message` to the run's page, to the lists of its workspace and, if it asks for the end of a run
    that is executed, to its agent.

    The channel name and the body are those of channels_redis' pub/sub layer, whose own `group_send`
    would open an event loop and a connection per call; a test holds us to a real consumer.
    """
    body = get_channel_layer().serialize({"type": "run.changed", **message.as_json()})
    pipeline = doorbell.connection().pipeline(transaction=False)
    for group in (run_group(message.run_id), workspace_group(message.workspace_id)):
        pipeline.publish(f"{settings.CHANNEL_PREFIX}__group__{group}", body)
    if message.state_type in ENDING:
        hint(pipeline, message.run_id)
    pipeline.execute()
