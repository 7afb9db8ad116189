"""Tests of `twisted_rapi.plan.faults`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.fault import FaultsRecord
from twisted_rapi.plan import faults
from twisted_rapi.plan.faults import Wrong

NONE = FaultsRecord()
DOWN = faults.wrongs([], ["web1"], [])
[ID] = DOWN


class WrongTests(SynchronousTestCase):
    """What is wrong."""

    def test_told(self) -> None:
        """Each has words, an id that is the same each time, and its part of the health."""
        fates = [
            ("n1", NodeFateRecord(uuid="1", fate="suspect", since=1.0)),
            ("n2", NodeFateRecord(uuid="2", fate="recovering", since=1.0)),
        ]
        found = faults.wrongs(fates, ["web1"], [("web2", "n3")])
        self.assertEqual(
            [(one.text, one.delta) for one in found.values()],
            [
                ("Node n1 does not answer", 50),
                ("Node n2 was fenced", 50),
                ("VM web1 should run and does not", 10),
                ("VM web2 runs on node n3 and should not", 10),
            ],
        )
        self.assertEqual(found, faults.wrongs(fates, ["web1"], [("web2", "n3")]))
        self.assertTrue(all(len(key) == 8 for key in found))


class NotedTests(SynchronousTestCase):
    """What is remembered."""

    def test_life(self) -> None:
        """It is noted once, stays when it is over, and is new when it comes again."""
        record = faults.noted(NONE, 10.0, DOWN)
        self.assertIs(faults.noted(record, 20.0, DOWN), record)
        record = faults.noted(faults.acknowledged(record, [ID], 21.0), 30.0, {})
        [fault] = record.faults
        self.assertEqual((fault.first, fault.last, fault.acknowledged, fault.over), (10.0, 30.0, 21.0, True))
        [fault] = faults.noted(record, 40.0, DOWN).faults
        self.assertEqual((fault.first, fault.last, fault.acknowledged, fault.over), (10.0, 40.0, 0.0, False))

    def test_deleted(self) -> None:
        """One that lasts is hidden until it is over; one that is over goes."""
        record = faults.without(faults.noted(NONE, 10.0, DOWN), [ID])
        self.assertEqual(faults.shown(record), [])
        self.assertIs(faults.noted(record, 20.0, DOWN), record)
        record = faults.noted(record, 30.0, {})
        self.assertEqual(record, NONE)
        record = faults.noted(faults.noted(NONE, 10.0, DOWN), 20.0, {})
        self.assertEqual(faults.without(record, [ID]), NONE)
        self.assertEqual(faults.without(record, ["other"]), record)
        self.assertEqual(faults.shown(None), [])

    @given(st.lists(st.sets(st.integers(0, 2 * faults.MOST).map(str), max_size=5), max_size=8))
    def test_steps(self, steps: list[set[str]]) -> None:
        """Whatever comes and goes, exactly what is wrong lasts, and each is there once."""
        record = NONE
        for now, ids in enumerate(steps):
            record = faults.noted(record, float(now), {key: Wrong(key, key, 1) for key in ids})
            self.assertEqual({f.id for f in record.faults if not f.over}, ids)
            self.assertEqual(len({f.id for f in record.faults}), len(record.faults))

    def test_most(self) -> None:
        """Of very many those go first that are over, then the latest; looking again changes nothing."""
        record = faults.noted(NONE, 1.0, {"old": Wrong("old", "old", 1)})
        many = {str(n): Wrong(str(n), str(n), 1) for n in range(faults.MOST + 1)}
        record = faults.noted(record, 2.0, many)
        self.assertEqual(len(record.faults), faults.MOST)
        self.assertEqual(record.faults[0].id, "0")
        self.assertIs(faults.noted(record, 3.0, many), record)
