"""The contract of `IVolumeDriver` on files and in memory."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.storage.file import FileDriver
from twisted_rapi.storage.interface import IVolumeDriver
from twisted_rapi.testing.contracts.volumes import VolumeDriverContract
from twisted_rapi.testing.volumes import MemoryVolumes


def at_once(work: Callable[..., Any], *args: Any) -> Awaitable[Any]:
    """Run it here."""

    async def run() -> Any:
        return await succeed(work(*args))

    return run()


class MemoryVolumesTests(VolumeDriverContract, SynchronousTestCase):
    """The ones in memory."""

    def make(self) -> tuple[IVolumeDriver, str]:
        return MemoryVolumes(total=100), "/volumes"

    def test_full(self) -> None:
        """What does not fit is refused and not there."""
        self.assertIn("no space", self.fails(self.driver.create(replace(self.disk, size=101))))
        self.assertIsNone(self.size(self.disk))


class FileDriverTests(VolumeDriverContract, SynchronousTestCase):
    """Files."""

    def make(self) -> tuple[IVolumeDriver, str]:
        base = os.path.abspath(self.mktemp())
        return FileDriver("file", Path(base), at_once), base

    def test_file(self) -> None:
        """A volume is a sparse file of exactly that size that only its owner may open."""
        found = os.stat(self.done(self.driver.create(self.disk)))
        self.assertEqual((found.st_size, found.st_mode & 0o777), (4 << 20, 0o600))
        self.assertLess(found.st_blocks * 512, 1 << 20)

    def test_fresh_is_empty(self) -> None:
        """Nothing of a replaced volume can be read."""
        path = Path(self.done(self.driver.create(self.disk)))
        path.write_bytes(b"x" * (4 << 20))
        self.done(self.driver.create(self.disk, fresh=True))
        self.assertEqual(path.read_bytes(), bytes(4 << 20))

    def test_simulated_size(self) -> None:
        """Of a size that is given only what the files take is gone, whatever else the disk holds."""
        driver = FileDriver("file", Path(self.base), at_once, total=100)
        self.assertEqual(self.done(driver.space()), (100, 100))
        path = Path(self.done(driver.create(self.disk)))
        path.write_bytes(b"x" * (3 << 20))
        Path(self.base, "..", "aside").write_bytes(b"x" * (2 << 20))
        self.assertEqual(self.done(driver.space()), (100, 97))

    def test_directories(self) -> None:
        """Emptied directories go, others and the base stay."""
        other = replace(self.disk, logical_id=self.at("inst1/v.file.disk1"))
        self.done(self.driver.create(self.disk))
        self.done(self.driver.create(other))
        self.done(self.driver.delete(self.disk))
        self.assertEqual(os.listdir(f"{self.base}/inst1"), ["v.file.disk1"])
        self.done(self.driver.delete(other))
        self.assertEqual(os.listdir(self.base), [])

    def test_links(self) -> None:
        """A link that leads out of the base is not followed."""
        out = Path(self.mktemp())
        out.mkdir()
        (out / "u.file.disk0").write_bytes(b"precious")
        os.makedirs(self.base)
        os.symlink(out.resolve(), f"{self.base}/inst1")
        self.fails(self.driver.create(self.disk, fresh=True))
        self.fails(self.driver.delete(self.disk))
        os.symlink((out / "u.file.disk0").resolve(), f"{self.base}/link")
        self.fails(self.driver.create(replace(self.disk, logical_id=self.at("link")), fresh=True))
        self.assertEqual((out / "u.file.disk0").read_bytes(), b"precious")

    def test_swapped_for_a_link(self) -> None:
        """A link is not followed where the file a creation works on is."""
        out = Path(self.mktemp()).resolve()
        out.write_bytes(b"precious")
        os.makedirs(f"{self.base}/inst1")
        os.symlink(out, f"{self.base}/inst1/.u.file.disk0.part")
        self.fails(self.driver.create(self.disk))
        self.assertEqual(out.read_bytes(), b"precious")

    def test_hidden(self) -> None:
        """Names that half-made files could have are no addresses, and a directory is no volume."""
        for name in ("inst1/.u.file.disk0.part", "inst1/.."):
            self.fails(self.driver.create(replace(self.disk, logical_id=self.at(name))))
        os.makedirs(f"{self.base}/inst1/u.file.disk0")
        for work in (self.driver.create, self.driver.delete, self.driver.activate, self.driver.inspect):
            self.fails(work(self.disk))

    def test_nothing_to_move(self) -> None:
        """Where nothing can be moved no directory is made."""
        self.done(self.driver.create(self.disk))
        gone = replace(self.disk, logical_id=self.at("inst2/u.file.disk0"))
        self.fails(self.driver.move(gone, self.at("inst3/u.file.disk0")))
        self.assertEqual(os.listdir(self.base), ["inst1"])

    def test_too_large(self) -> None:
        """What the file system cannot hold leaves nothing behind, and the text names the path."""
        huge = replace(self.disk, size=1 << 42)
        self.assertIn(self.base, self.fails(self.driver.create(huge)))
        self.assertIsNone(self.size(self.disk))
        self.assertEqual(os.listdir(self.base), [])
        self.fails(self.driver.create(replace(self.disk, size=1 << 60)))
        self.assertEqual(os.listdir(self.base), [])

    def test_interrupted(self) -> None:
        """What an interrupted creation left neither hinders the next one nor stays after a removal."""
        os.makedirs(f"{self.base}/inst1")
        Path(f"{self.base}/inst1/.u.file.disk0.part").write_bytes(b"half")
        self.done(self.driver.delete(self.disk))
        self.assertEqual(os.listdir(self.base), [])
