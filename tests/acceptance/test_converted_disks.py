"""Disks with data in real files: converted, detached, attached and removed, over the API."""

import json
import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.acceptance.test_crashes import Api, creation
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.nursery import Nursery
from twisted_rapi.testing.processes import await_true

ONE, TWO = "one.example.com", "two.example.com"
MIB = 1024 * 1024
SIZE = 8 * MIB
MARKS = {0: b"the first bytes", 3 * MIB + 5: b"in the middle", SIZE - 8: b"the end."}


class ConvertedDiskTests(SynchronousTestCase):
    """What was written into a disk is there, wherever it goes."""

    def setUp(self) -> None:
        self.cluster = LocalCluster(Path(self.mktemp()).resolve(), nodes=2, nursery=Nursery())
        self.addCleanup(self.cluster.remove)
        self.cluster.set_up()
        (self.cluster.config / "users").write_text("demo secret write\n")
        self.cluster.start()
        self.cluster.await_nodes()
        self.api = Api(self.cluster.port)

    def ended(self, job: int) -> dict[str, Any]:
        """A job, once it has ended."""
        found: dict[str, Any] = {}

        def there() -> bool:
            found.update(self.api.tried("GET", f"/2/jobs/{job}") or {})
            return found.get("status") in ("success", "error", "canceled")

        await_true(f"job {job} has ended", there, 120)
        return found

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The result of a job that has to succeed."""
        job = self.ended(self.api.ask(method, path, body))
        self.assertEqual(job["status"], "success", json.dumps(job["opresult"]))
        return job["opresult"][-1]

    def create(self, name: str) -> None:
        """An instance at rest with one disk on the first node."""
        body = {**creation(name), "start": False, "pnode": "node1.example.com"}
        self.done("POST", "/2/instances", {**body, "disk_template": "sharedfile"})

    def files(self) -> dict[str, list[Path]]:
        """The disks there are, by the folder of their template."""
        folders = ("file-storage", "shared-file-storage")
        return {f: [p for p in (self.cluster.directory / f).rglob("*") if p.is_file()] for f in folders}

    def every_file(self) -> list[Path]:
        """All disks there are."""
        return [path for paths in self.files().values() for path in paths]

    def only(self, folder: str) -> Path:
        """The one disk there is, which has to be in this folder."""
        found = self.files()
        self.assertEqual({f: len(paths) for f, paths in found.items() if paths}, {folder: 1})
        return found[folder][0]

    def mark(self, path: Path) -> None:
        """Write into a disk."""
        with path.open("r+b") as f:
            for at, text in MARKS.items():
                f.seek(at)
                f.write(text)

    def check(self, path: Path) -> None:
        """The disk holds what was written and nothing else, and takes no more space than before."""
        expected = bytearray(SIZE)
        for at, text in MARKS.items():
            expected[at : at + len(text)] = text
        self.assertTrue(path.read_bytes() == expected, path)
        self.assertLess(os.stat(path).st_blocks * 512, SIZE // 2)

    def test_data_arrives(self) -> None:
        """Between the templates and back, and with a disk that goes from one instance to another."""
        one, two = f"/2/instances/{ONE}", f"/2/instances/{TWO}"
        self.create(ONE)
        first = self.only("shared-file-storage")
        self.mark(first)

        body: dict[str, Any] = {"disk_template": "file", "file_storage_dir": "below"}
        self.assertEqual(self.done("PUT", f"{one}/modify", body), [["disk_template", "file"]])
        second = self.only("file-storage")
        self.assertIn("/below/", str(second))
        self.check(second)
        self.assertEqual(self.api.ask("GET", one)["disk_template"], "file")

        self.done("PUT", f"{one}/modify", {"disk_template": "sharedfile"})
        self.check(self.only("shared-file-storage"))
        self.done("PUT", f"{one}/startup")
        self.done("PUT", f"{one}/shutdown", {"timeout": 0})

        [uuid] = self.api.ask("GET", one)["disk.uuids"]
        self.done("PUT", f"{one}/modify", {"disks": [["detach", 0, {}]]})
        self.done("DELETE", one)
        [disk] = self.api.ask("GET", "/2/disks?bulk=1")
        self.assertEqual((disk["uuid"], disk["instance"], disk["size"]), (uuid, ONE, 8))
        self.check(self.only("shared-file-storage"))
        self.done("POST", "/2/instances", {**creation(TWO), "disk_template": "diskless", "disks": []})
        body = {"disks": [["attach", -1, {"uuid": uuid}]], "hotplug": True}
        self.done("PUT", f"{two}/modify", body)
        self.check(self.only("shared-file-storage"))
        self.assertEqual(self.api.ask("GET", two)["disk_template"], "sharedfile")
        self.done("PUT", f"{two}/modify", {"disks": [["detach", 0, {}]], "hotplug": True})
        self.done("DELETE", f"/2/disks/{uuid}")
        self.done("DELETE", two)
        self.assertEqual(self.every_file(), [])

    def test_dying(self) -> None:
        """Master and agent are killed while it is copied: the data is whole, in one place, as recorded."""
        folders = {"file": "file-storage", "sharedfile": "shared-file-storage"}
        self.create(ONE)
        self.mark(self.only("shared-file-storage"))
        master, agent = self.cluster.master, self.cluster.agents[0]
        had = "sharedfile"
        for victims in ([master], [agent], [agent, master]):
            wanted = "file" if had == "sharedfile" else "sharedfile"
            job = self.api.ask("PUT", f"/2/instances/{ONE}/modify", {"disk_template": wanted})
            for victim in victims:
                victim.kill()
            for victim in victims:
                victim.start()
            self.ended(job)
            self.cluster.await_nodes()
            had = self.api.ask("GET", f"/2/instances/{ONE}")["disk_template"]
            await_true("only the recorded disk is there", lambda: len(self.every_file()) == 1, 60)
            self.check(self.only(folders[had]))
