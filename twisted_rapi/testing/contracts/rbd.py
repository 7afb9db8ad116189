"""What the driver of ``rbd`` does beyond every other, on whatever tool it has."""

from typing import Any

from msgspec.structs import replace

from twisted_rapi.model import rbd
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.testing.contracts.volumes import VolumeDriverContract


class RbdContract(VolumeDriverContract):
    """
    Mixed into a test case that makes the driver with `make`.

    The pool is called `base`; images of one test have names that begin with its `mark`.
    """

    mark = ""
    access = "userspace"

    def setUp(self) -> None:
        """The disk says how the guest reaches it."""
        super().setUp()
        self.disk = replace(self.disk, template="rbd", params={"access": self.access})

    def at(self, name: str) -> tuple[Any, ...]:
        """An image of the pool."""
        return (self.base, self.mark + name.replace("/", "."))

    def outside(self) -> tuple[tuple[Any, ...], ...]:
        """Paths, snapshots, options."""
        bad = ("../x", "..", "-x", "x@y", "x y", "", 3)
        return (*((self.base, name) for name in bad), ("--user", "x"), ("a/b", "x"), (self.base,), ())

    def snapshot(self, disk: DiskSpec) -> None:
        """Take a snapshot of the image."""
        raise NotImplementedError

    def test_path(self) -> None:
        """The path names pool and image as QEMU does."""
        found = rbd.image(self.done(self.driver.create(self.disk)))
        self.assertIsNotNone(found)
        assert found is not None
        self.assertEqual((found.pool, found.name), self.disk.logical_id)

    def test_snapshots_go_too(self) -> None:
        """An image is removed, or replaced, with its snapshots."""
        self.done(self.driver.create(self.disk))
        self.snapshot(self.disk)
        self.done(self.driver.create(self.disk, fresh=True))
        self.snapshot(self.disk)
        self.done(self.driver.delete(self.disk))
        self.assertIsNone(self.size(self.disk))

    def test_no_pool(self) -> None:
        """In a pool that is not there is no image, and none is made."""
        lost = replace(self.disk, logical_id=("nosuchpool", "x"))
        self.assertIn("nosuchpool", self.fails(self.driver.create(lost)))
        self.assertIsNone(self.size(lost))
        self.done(self.driver.delete(lost))

    def test_other_pool(self) -> None:
        """An image stays in its pool."""
        self.done(self.driver.create(self.disk))
        self.assertIn("another pool", self.fails(self.driver.move(self.disk, ("other", "x"))))
