"""Tests of `twisted_rapi.plan.succession`."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.succession import refusal, successor
from twisted_rapi.testing.cluster import NODES, founding

ONE, TWO, THREE = NODES
RECORDS = {
    record.uuid: replace(record, master_candidate=True)
    for record in founding()[0]
    if isinstance(record, NodeRecord)
}
flags = st.fixed_dictionaries({name: st.booleans() for name in ("master_candidate", "offline", "drained")})


class SuccessionTests(SynchronousTestCase):
    """Who may follow a master."""

    def test_named(self) -> None:
        """A node that is asked for has to be there, able, and another one."""
        self.assertEqual(refusal(TWO, RECORDS, {TWO}, ONE), "")
        self.assertIn("already", refusal(ONE, RECORDS, {ONE, TWO}, ONE))
        self.assertIn("not there", refusal(TWO, RECORDS, {THREE}, ONE))
        self.assertIn("no such node", refusal("x", RECORDS, {TWO}, ONE))
        offline = {**RECORDS, TWO: replace(RECORDS[TWO], offline=True)}
        self.assertIn("offline", refusal(TWO, offline, {TWO}, ONE))

    def test_any(self) -> None:
        """Without a name it is the first that may."""
        self.assertEqual(successor(RECORDS, {THREE, TWO}, ONE), TWO)
        self.assertEqual(successor(RECORDS, {ONE}, ONE), "")
        self.assertIn("no other", refusal("", RECORDS, {ONE}, ONE))

    @given(st.lists(flags, min_size=3, max_size=3), st.sets(st.sampled_from(NODES)), st.sampled_from(NODES))
    def test_agree(self, given_flags: list[dict[str, bool]], present: set[str], master: str) -> None:
        """Who follows when any may would not be refused by name; nobody does when all would be."""
        nodes = {uuid: replace(RECORDS[uuid], **f) for uuid, f in zip(NODES, given_flags, strict=True)}
        found = successor(nodes, present, master)
        able = [uuid for uuid in NODES if not refusal(uuid, nodes, present, master)]
        self.assertEqual(found, able[0] if able else "")
