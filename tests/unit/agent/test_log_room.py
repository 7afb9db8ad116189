"""Tests of `twisted_rapi.agent.log_room`."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.agent import log_room

KEPT = 64 * 1024


class CutTests(SynchronousTestCase):
    """Files that are written meanwhile."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp())

    def test_long(self) -> None:
        """A long one has room for its end only, keeps its length, and can be written on."""
        with self.file.open("ab") as f:
            for n in range(10):
                f.write(bytes([65 + n]) * KEPT)
                f.flush()
                log_room.cut(self.file, KEPT)
                self.assertLessEqual(self.file.stat().st_blocks * 512, 3 * KEPT)
        self.assertEqual(self.file.stat().st_size, 10 * KEPT)
        self.assertEqual(self.file.read_bytes()[-KEPT:], b"J" * KEPT)

    def test_short(self) -> None:
        """One that is not much longer stays as it is; one that is not there is well."""
        self.file.write_bytes(b"x" * (KEPT + 5))
        log_room.cut(self.file, KEPT)
        self.assertEqual(self.file.read_bytes(), b"x" * (KEPT + 5))
        log_room.cut(self.file / "nosuch", KEPT)
        log_room.cut(self.file.with_name("nosuch"), KEPT)
