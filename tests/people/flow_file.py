"""Flows that wait for people. Each appends what it does to `<folder>/done`."""

import time
from pathlib import Path

from pydantic import BaseModel, Field

from flows import flow, pause_flow_run, resume_flow_run, suspend_flow_run, task
from flows.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from flows.blocks import Secret
from flows.input import receive_input, send_input
from flows.runtime import deployment, flow_run
from flows.variables import Variable


class Approval(BaseModel):
    """What a release manager decides."""

    approved: bool
    copies: int = Field(1, ge=1, le=10)
    comment: str = ""


def done(folder: str, what: str) -> None:
    with Path(folder, "done").open("a") as lines:
        lines.write(f"{what}\n")


@task
def prepare(folder: str) -> None:
    done(folder, "prepared")


@flow
def release(folder: str) -> None:
    """Pauses with its process, and asks."""
    done(folder, "began")
    answer = pause_flow_run(wait_for_input=Approval, timeout=60)
    done(folder, f"approved={answer.approved} copies={answer.copies} comment={answer.comment}")


@flow
def leave(folder: str) -> None:
    """Suspends, and asks; the pause before it is passed again by the second process."""
    done(folder, "began")
    prepare.submit(folder)
    answer = suspend_flow_run(wait_for_input=Approval, timeout=60)
    done(folder, f"approved={answer.approved}")


@flow
def busy(folder: str) -> None:
    """Works until the file `go` appears."""
    done(folder, "began")
    while not Path(folder, "go").exists():
        time.sleep(0.02)


@flow
async def release_async(folder: str) -> None:
    done(folder, f"approved={(await pause_flow_run(wait_for_input=Approval, timeout=60)).approved}")
    await suspend_flow_run(timeout=60)
    await Variable.aset("released", True, overwrite=True)
    done(folder, f"released={await Variable.get('released')}")


@flow
def impatient(folder: str) -> None:
    pause_flow_run(timeout=0.2)


@flow
def approve(folder: str, run_id: str) -> None:
    """Resumes another run."""
    resume_flow_run(run_id, run_input={"approved": True, "comment": "by a run"})


@flow
def listen(folder: str) -> None:
    """Waits for two words from other runs."""
    done(folder, "listening")
    words = receive_input(str, timeout=30, poll_interval=0.05)
    done(folder, f"heard {next(words)} {next(words)}")


@flow
def speak(folder: str, run_id: str) -> None:
    send_input("hello", flow_run_id=run_id)
    send_input("world", flow_run_id=run_id)


@flow
def around(folder: str) -> None:
    """What else a run asks of its server."""
    Variable.set("greeting", {"text": "hello"}, overwrite=True)
    Secret(value="tell nobody").save("api-key", overwrite=True)
    done(folder, f"{Variable.get('greeting')['text']} {Variable.get('missing', 'nothing')}")
    done(folder, Secret.load("api-key").get())
    done(folder, f"{deployment.version} {flow_run.work_pool_name}/{flow_run.work_queue_name}")
    create_markdown_artifact("# Title\n\n**bold** <script>alert(1)</script>", key="report")
    create_link_artifact("https://example.com/report", "the report", key="link")
    create_image_artifact("https://example.com/picture.png", key="picture")
    progress = create_progress_artifact(10, key="progress", description="half way")
    update_progress_artifact(progress, 50)
