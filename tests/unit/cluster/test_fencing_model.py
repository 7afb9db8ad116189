"""Nodes die, are cut off, switched off and return in any order: no guest ever runs twice."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.jobs.test_jobs import create
from twisted_rapi.errors import BadRequest
from twisted_rapi.model.opcodes import from_wire
from twisted_rapi.plan.fate import DeathRules
from twisted_rapi.plan.watchdog import WatchdogRules
from twisted_rapi.testing.cluster import NODES, make_cluster

GUESTS = ("web.example.com", "db.example.com")
RULES = DeathRules(fence=True, restart="all", fence_interval=60.0, recover="auto")
NODE = st.sampled_from(NODES[1:])
"""All but the master's: where that is silent nothing is done at all."""


class _Cluster(RuleBasedStateMachine):
    """Silent nodes go on running what they run until they lose power."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = make_cluster(death=RULES, watchdog=WatchdogRules(wait=10.0))
        self.fake.nodes.nodes[NODES[1]].unfenced = ""
        self.fake.nodes.is_offline = lambda uuid: self.fake.snapshot.nodes[uuid].offline
        for number, name in enumerate(GUESTS, 2):
            node = f"node{number}.example.com"
            self.submit(create(name, disk_template="sharedfile", pnode=node))

    def teardown(self) -> None:
        self.fake.stop()

    def submit(self, op: Any) -> None:
        Deferred.fromCoroutine(self.fake.cluster.submit([op])).addErrback(lambda f: f.trap(BadRequest))

    @rule(times=st.sampled_from((1, 5, 25)))
    def time_passes(self, times: int) -> None:
        self.fake.clock.pump([5.0] * times)

    @rule(node=NODE)
    def is_cut_off(self, node: str) -> None:
        self.fake.nodes.nodes[node].down = True
        self.fake.nodes.changed(node)

    @rule(node=NODE)
    def is_cut_off_for_long(self, node: str) -> None:
        """With the other one there, so that most nodes answer."""
        for other in set(NODES) - {node}:
            self.returns(other)
        self.is_cut_off(node)
        self.time_passes(25)

    @rule(node=NODE)
    def loses_power(self, node: str) -> None:
        self.fake.nodes.nodes[node].domains.clear()
        self.is_cut_off(node)

    @rule(node=NODE)
    def returns(self, node: str) -> None:
        self.fake.nodes.nodes[node].down = False
        self.fake.nodes.changed(node)

    @rule(node=NODE, why=st.sampled_from(("", "its board does not answer")))
    def board(self, node: str, why: str) -> None:
        self.fake.nodes.nodes[node].unfenced = why

    @rule(node=NODE)
    def is_confirmed(self, node: str) -> None:
        """By somebody who says so only if it is true."""
        there = self.fake.nodes.nodes[node]
        if there.down and not there.domains:
            d = Deferred.fromCoroutine(self.fake.cluster.fates.confirm(node, "op"))
            d.addErrback(lambda f: f.trap(BadRequest))

    @rule(node=NODE, force=st.booleans())
    def is_set_online(self, node: str, force: bool) -> None:
        name = self.fake.snapshot.nodes[node].name
        wire = {"OP_ID": "OP_NODE_SET_PARAMS", "node_name": name, "offline": False, "force": force}
        self.submit(from_wire(wire))

    @rule()
    def another_is_master(self) -> None:
        """In the same place: what it has heard of nodes is forgotten."""
        before = self.fake
        before.stop()
        watchdog = WatchdogRules(wait=10.0)
        self.fake = make_cluster(before.store, before.nodes, before.clock, death=RULES, watchdog=watchdog)

    @invariant()
    def once(self) -> None:
        for name in GUESTS:
            where = [n.uuid for n in self.fake.nodes.nodes.values() if name in n.domains]
            assert len(where) <= 1, f"{name} runs on {where}"


class ModelTests(SynchronousTestCase):
    """The machine above."""

    def test_never_twice(self) -> None:
        """No instance is started elsewhere while its node is not proven to be off."""
        checks = settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        run_state_machine_as_test(_Cluster, settings=checks)
