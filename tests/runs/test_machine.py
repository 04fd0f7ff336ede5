"""The state machine under random sequences of proposals: its history is always a legal one."""

from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flows.sdk.recorder import Status
from flows.sdk.states import TERMINAL, State, StateType
from runs.models import FlowRun, FlowRunState
from runs.session import DjangoSession
from runs.transition import transition
from tests.factories import lease, make_run

SESSION = DjangoSession()


class FlowRunMachine(RuleBasedStateMachine):
    """People, services, a current attempt and a stale one propose states of one run at random."""

    run: FlowRun

    @initialize()
    def create(self) -> None:
        self.run = make_run()
        self.accepted: list[StateType] = []
        self.last: State | None = None

    def current(self) -> FlowRun:
        return FlowRun.objects.get(id=self.run.id)

    def propose(self, state: State, attempt: int | None) -> Status:
        before = self.current()
        verdict = transition(SESSION, self.run.id, state, attempt=attempt)
        after = self.current()
        stored = after.state_id != before.state_id
        assert stored == (verdict.state is not None and verdict.state.id == after.state_id != before.state_id)
        if not stored:
            assert (after.state_type, after.version) == (before.state_type, before.version)
        elif StateType(before.state_type) in TERMINAL:
            assert after.state_type == "SCHEDULED"
        elif before.state_type == "CANCELLING":
            assert after.state_type == "CANCELLED"
        self.last = state
        return verdict.status

    @rule(type=st.sampled_from(StateType))
    def somebody_proposes(self, type: StateType) -> None:
        self.propose(State(type), None)

    @precondition(lambda self: self.current().state_type == "SCHEDULED" and not self.current().lease_expires)
    @rule()
    def an_agent_claims(self) -> None:
        lease(self.run, attempt=self.current().attempt + 1)

    @rule(type=st.sampled_from(StateType))
    def the_attempt_proposes(self, type: StateType) -> None:
        run = self.current()
        status = self.propose(State(type), run.attempt)
        if run.lease_expires is None:
            assert status is Status.ABORT

    @rule(type=st.sampled_from(StateType))
    def a_stale_attempt_proposes(self, type: StateType) -> None:
        before = self.current()
        assert self.propose(State(type), before.attempt - 1) is Status.ABORT
        assert self.current().version == before.version

    @precondition(lambda self: self.last is not None)
    @rule()
    def a_reply_got_lost_and_the_call_is_repeated(self) -> None:
        assert self.last is not None
        before = FlowRunState.objects.filter(flow_run=self.run).count()
        if self.current().state_id == self.last.id:
            assert transition(SESSION, self.run.id, self.last).status is Status.ACCEPT
            assert FlowRunState.objects.filter(flow_run=self.run).count() == before

    @invariant()
    def the_current_state_ends_the_history(self) -> None:
        run = self.current()
        last = FlowRunState.objects.filter(flow_run=run).order_by("-id").first()
        assert last is not None
        if run.state_type != "PENDING":  # `lease` stands in for a claim and writes no history
            assert last.id == run.state_id

    @invariant()
    def only_a_live_run_has_a_lease(self) -> None:
        run = self.current()
        if StateType(run.state_type) in TERMINAL:
            assert run.lease_expires is None
            assert run.end_time is not None
        else:
            assert run.end_time is None


class TestFlowRunMachine(TestCase, FlowRunMachine.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(
        max_examples=25,
        stateful_step_count=20,
    )


@pytest.mark.django_db
def test_the_database_clock_is_the_one_that_decides() -> None:
    run = make_run()
    assert abs((run.expected_start_time - datetime.now(UTC)).total_seconds()) < 60
