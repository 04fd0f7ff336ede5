"""Every public name and option of Prefect that flow code uses is there, or is excused by a reason.

`prefect_surface.json` was recorded from a real Prefect (its version stands in it): for each module its names,
for functions and methods their options.
"""

import importlib
import inspect
import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

SURFACE: dict[str, Any] = json.loads((Path(__file__).parent / "prefect_surface.json").read_text())["modules"]

# Patterns of what is missing: "module.name", "module.name.method", each perhaps with "(option)".
EXCUSED = {
    # Other means
    "prefect.get_client": "Portal's REST API is called by any HTTP client; see docs/api.md",
    "prefect.*artifacts.*Artifact": "artifacts are made by functions; there are no objects of them",
    "prefect.flows.Flow.validate_parameters": "`checked()`; the option has the name",
    "prefect.Flow.validate_parameters": "`checked()`; the option has the name",
    "prefect.flows.load_flow_from_entrypoint(use_placeholder_flow)": "code that cannot be loaded is an error",
    # Prefect's own machinery, which flow code does not call
    "prefect.Transaction": "it is `flows.transactions.Transaction`, as users of it import it",
    "prefect.transactions.Transaction.__init__(*": "made by `transaction()`, which takes all that users give",
    "prefect.transactions.Transaction.get_*": "`get_transaction()` and `.parent`",
    "prefect.results.ResultStore.*": "what flow code needs of it is `ResultStore(...)` for transactions",
    "prefect.states.*exception_to_*": "the engine's own",
    "prefect.states.format_exception": "the engine's own",
    "prefect.states.get_state_result": "`state.result()`",
    "prefect.states.is_state_iterable": "the engine's own",
    "prefect.states.return_value_to_state": "the engine's own",
    "prefect.states.to_state_create": "the client's own",
    "prefect.states.StateGroup": "the engine's own",
    "prefect.states.InfrastructurePending": "made by workers of clouds",
    "prefect.states.Submitting": "made by workers of clouds",
    "*State.__init__(*": "states are made by their functions: Completed(message=...)",
    "*State.*result(retry_result_failure)": "reading is tried again by the storage itself",
    "prefect.futures.PrefectFuture.__init__*": "futures are made by `submit` and `map`",
    "prefect.task_runners.*": "the runners' inner interface; tasks are submitted by `task.submit`",
    "prefect.input.RunInput.*": "`send_input`, `receive_input`, `send_to`, `respond` and `receive`",
    "prefect.locking.*": "the engine takes and gives back locks itself, by `acquire_lock` and `release_lock`",
    "prefect.blocks.*register*": "types of blocks need no registration",
    "prefect.filesystems.*register*": "types of blocks need no registration",
    "*_code_example": "Portal shows no code examples of blocks",
    "*load_from_ref": "`load`",
    "prefect.filesystems.*_directory": "code comes by git or by bundles, not by blocks",
    "prefect.filesystems.*.cast_pathlib": "a validator of its field",
    "prefect.filesystems.SMB": "deprecated there; RemoteFileSystem with smb://",
    "prefect.filesystems.NullFileSystem": "a stand-in of Prefect's own",
    "prefect.cache_policies.STABLE_TRANSFORMS": "Prefect's list of transformations of source code",
    # Deprecated, or of the machinery around it
    "prefect.concurrency.*(max_retries)": "deprecated there; timeout_seconds",
    "prefect.concurrency.*(holder)": "Portal itself names the run that holds the slots",
    "prefect.flow_runs.wait_for_flow_run(log_states)": "a run's states are on its page",
    "prefect.testing.utilities.prefect_test_harness(*": "there is no server to wait for",
    "prefect.utilities.annotations.freeze": "deprecated there",
    "prefect.serializers.*.__init__(*": "serializers of one's own have `type`, `dumps` and `loads`",
    "*(asset_deps)": "assets belong to Prefect Cloud",
    "*(_sla)": "refused with a reason; service levels belong to Prefect Cloud",
    "*(version_type)": "refused with a reason; Portal notes versions itself",
    # Errors of what Portal has not, or of other names
    "prefect.exceptions.*": "an error that Portal does not raise (those that it does are wanted below)",
    # Background tasks
    "*Task.aserve": "`serve` blocks in any case",
    "*apply_async(dependencies)": "the client's own",
    "prefect.task_worker.serve(*": "who serves is seen on Portal's pages; it stops by a signal",
    # Made in other places
    "prefect.schedules.*": "schedules by rrule",
    "*(rrule)": "schedules by rrule",
}
# Errors that a flow may want to catch are not excused.
WANTED_ERRORS = {
    "Abort", "CancelledRun", "CrashedRun", "FailedRun", "FlowPauseTimeout", "FlowRunWaitTimeout", "HashError",
    "MappingLengthMismatch", "MappingMissingIterable", "MissingContextError", "MissingResult",
    "NotPausedError", "ObjectAlreadyExists", "ParameterTypeError", "PausedRun", "PrefectHTTPStatusError",
    "SerializationError", "TerminationSignal", "UnfinishedRun", "UpstreamTaskError",
}  # fmt: skip


def ours(module: str) -> Any:
    """Portal's counterpart: `flows.x` for `prefect.x`, or None."""
    name = f"flows{module.removeprefix('prefect')}"
    try:
        return importlib.import_module(name)
    except ImportError:
        parent, _, leaf = name.rpartition(".")
        return getattr(importlib.import_module(parent), leaf, None)  # `flows.runtime.flow_run` is an object


def missing_options(where: str, found: Any, options: list[str]) -> Iterator[str]:
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return  # checked by name where they arrive; see the tests of each
    yield from (f"{where}({option})" for option in options if option not in parameters)


def missing_in(where: str, found: Any, wanted: Any) -> Iterator[str]:
    """What of a name's options and methods is missing."""
    if isinstance(wanted, list) and callable(found):
        yield from missing_options(where, found, wanted)
    if isinstance(wanted, dict):
        for method, options in wanted.items():
            made = found if method == "__init__" else getattr(found, method, None)
            if made is None:
                yield f"{where}.{method}"
            else:
                yield from missing_options(f"{where}.{method}", made, options)


def all_missing(module: str) -> Iterator[str]:
    found = ours(module)
    for name, wanted in SURFACE[module].items():
        if not hasattr(found, name):
            yield f"{module}.{name}"
        else:
            yield from missing_in(f"{module}.{name}", getattr(found, name), wanted)


@pytest.mark.parametrize("module", SURFACE)
def test_what_flow_code_uses_of_prefect_is_there(module: str) -> None:
    unexcused = [each for each in all_missing(module) if not any(fnmatch(each, why) for why in EXCUSED)]
    assert unexcused == []


def test_errors_that_flows_catch_are_there() -> None:
    from flows import exceptions

    assert [name for name in sorted(WANTED_ERRORS) if not hasattr(exceptions, name)] == []


@pytest.mark.parametrize("decorator", ["flow", "task"])
def test_the_decorators_take_each_option(decorator: str) -> None:
    """Their signatures are `**options`, so that each is tried."""
    import flows

    made = getattr(flows, decorator)(lambda: None)
    taken = inspect.signature(type(made).__init__).parameters
    wanted = SURFACE["prefect"][decorator]
    assert [option for option in wanted if option not in taken and option != "asset_deps"] == []


def test_deploying_takes_each_option() -> None:
    from flows.sdk.deployable import Deployable
    from flows.sdk.deployment_options import _REFUSED, DeploymentOptions

    known = {*DeploymentOptions.__annotations__, *_REFUSED, "rrule"}
    for method in ("deploy", "serve", "to_deployment"):
        taken = {*inspect.signature(getattr(Deployable, method)).parameters, *known}
        assert [o for o in SURFACE["prefect"]["Flow"][method] if o not in taken] == [], method
