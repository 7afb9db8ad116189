"""Tests of `twisted_rapi.plan.succession`."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.succession import refusal, successor
from twisted_rapi.testing.cluster import NODES, founding

ONE, TWO, THREE = NODES
RECORDS = {
    record.uuid: replace(record, master_candidate=True)
    for record in founding()[0]
    if isinstance(record, NodeRecord)
}


def there(*uuids: str, why: str = "") -> dict[str, CandidateRecord]:
    """Daemons that are there."""
    return {uuid: CandidateRecord(uuid=uuid, since=1.0, version="1", hindered=why) for uuid in uuids}


flags = st.fixed_dictionaries({name: st.booleans() for name in ("master_candidate", "offline", "drained")})


class SuccessionTests(SynchronousTestCase):
    """Who may follow a master."""

    def test_named(self) -> None:
        """A node that is asked for has to be there, able, and another one."""
        self.assertEqual(refusal(TWO, RECORDS, there(TWO), ONE), "")
        self.assertIn("already", refusal(ONE, RECORDS, there(ONE, TWO), ONE))
        self.assertIn("not there", refusal(TWO, RECORDS, there(THREE), ONE))
        self.assertIn("no such node", refusal("x", RECORDS, there(TWO), ONE))
        offline = {**RECORDS, TWO: replace(RECORDS[TWO], offline=True)}
        self.assertIn("offline", refusal(TWO, offline, there(TWO), ONE))

    def test_any(self) -> None:
        """Without a name it is the first that may."""
        self.assertEqual(successor(RECORDS, there(THREE, TWO), ONE), TWO)
        self.assertEqual(successor(RECORDS, there(ONE), ONE), "")
        self.assertIn("no other", refusal("", RECORDS, there(ONE), ONE))

    def test_address(self) -> None:
        """Whose host could not have the cluster's address is no successor, and it is said why."""
        hindered = there(TWO, why="192.0.2.9 is not on this host")
        self.assertIn("is not on this host", refusal(TWO, RECORDS, hindered, ONE))
        self.assertIn("node2.example.com: 192.0.2.9 is not", refusal("", RECORDS, hindered, ONE))
        self.assertEqual(successor(RECORDS, {**hindered, **there(THREE)}, ONE), THREE)

    @given(st.lists(flags, min_size=3, max_size=3), st.sets(st.sampled_from(NODES)), st.sampled_from(NODES))
    def test_agree(self, given_flags: list[dict[str, bool]], present: set[str], master: str) -> None:
        """Who follows when any may would not be refused by name; nobody does when all would be."""
        nodes = {uuid: replace(RECORDS[uuid], **f) for uuid, f in zip(NODES, given_flags, strict=True)}
        daemons = there(*present)
        found = successor(nodes, daemons, master)
        able = [uuid for uuid in NODES if not refusal(uuid, nodes, daemons, master)]
        self.assertEqual(found, able[0] if able else "")
