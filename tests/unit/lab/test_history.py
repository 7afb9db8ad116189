"""Histories as files, and what is read off them."""

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.testing.lab.history import (
    Asked,
    Caused,
    Committed,
    JobSeen,
    Outcome,
    failures,
    note,
    outage,
    read,
)


def asked(at: float, until: float, outcome: Outcome = "answered", idempotent: bool = True) -> Asked:
    """A read."""
    told = {"address": "a", "method": "GET", "path": "/", "outcome": outcome, "idempotent": idempotent}
    return Asked(at=at, until=until, **told)  # type: ignore[arg-type]


class FileTests(SynchronousTestCase):
    """`note` and `read`."""

    def test_there_and_back(self) -> None:
        """What is noted is read; half of a last line is left out, any other one is an error."""
        events = (
            asked(1.5, 2.5),
            Committed(at=3.0, revision=4, writer="w", jobs={7: JobSeen("success", ("m",))}, gone=(1,)),
            Caused(at=4.0, fault="kill-master", node="node1"),
        )
        file = Path(self.mktemp())
        with file.open("ab") as out:
            for event in events:
                note(event, out)
        self.assertEqual(read(file).events, events)
        whole = file.read_bytes()
        file.write_bytes(whole + b'{"type":"Cau')
        self.assertEqual(read(file, file).events, events * 2)
        file.write_bytes(b'{"type":"Cau\n' + whole)
        self.assertRaises(msgspec.DecodeError, read, file)


class OutageTests(SynchronousTestCase):
    """`outage` and `failures`."""

    def test_outage(self) -> None:
        """The longest time between answers; what is refused is no answer, the stretch's ends are."""
        seen = [asked(0, 1), asked(1, 2), asked(2, 3, "refused"), asked(3, 4, "silent"), asked(4, 5.5)]
        self.assertEqual(outage(seen, 0.5, 6.0), 3.5)
        self.assertEqual(outage(seen, 0.5, 5.0), 3.0)
        self.assertEqual(outage([], 1.0, 5.0), 4.0)

    @given(st.lists(st.floats(0, 10)))
    def test_bounds(self, times: list[float]) -> None:
        """It is no longer than the stretch, and no shorter than an even share of it."""
        seen = [asked(t, t) for t in times]
        self.assertLessEqual(outage(seen, 0.0, 10.0), 10.0)
        self.assertGreaterEqual(outage(seen, 0.0, 10.0) + 1e-9, 10.0 / (len(times) + 1))

    def test_failures(self) -> None:
        """Only what could be asked again, and was not answered, of the stretch."""
        wrong = asked(2, 3, "refused")
        seen = [asked(1, 2), wrong, asked(3, 4, "silent", idempotent=False), asked(9, 9, "silent")]
        self.assertEqual(failures(seen, 0.0, 5.0), [wrong])
