"""``rapi-admin backup`` and ``restore`` with a real etcd, and between it and SQLite."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.functional.test_etcd_admin import EtcdCase, ask
from twisted_rapi.admin.restoring import problems
from twisted_rapi.config import load
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.database import Database
from twisted_rapi.state.etcd_wire import packed
from twisted_rapi.state.interface import Commit
from twisted_rapi.testing.processes import await_true

GROUPS = "/2/groups"


def records(file: Path) -> dict[str, bytes]:
    """What is in a backup."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return dict(db.execute("SELECT key, value FROM entries").fetchall())


def term(file: Path) -> int:
    """The term in a backup."""
    election = decode("election", records(file)["election"])
    assert isinstance(election, ElectionRecord)
    return election.term


class BackupTests(EtcdCase):
    """A backup is made of a running cluster, and becomes either store."""

    size = 1

    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.in_etcd()
        self.config = self.cluster.config / "rapi.toml"
        self.copy = self.folder / "copy.db"

    def done(self, *arguments: str) -> None:
        self.assertEqual(self.admin(arguments[0], "-c", str(self.config), *arguments[1:]), 0, self.said)

    def refused(self, why: str, *arguments: str) -> None:
        self.assertEqual(self.admin(arguments[0], "-c", str(self.config), *arguments[1:]), 1)
        self.assertIn(why, self.said[-1])

    def group(self, name: str) -> int:
        """Make a group; answers the job's id."""
        cluster = self.cluster
        job = int(ask(cluster.port, GROUPS, {"group_name": name}, method="POST"))
        done = ("success", "error")
        await_true("the job ends", lambda: ask(cluster.port, f"/2/jobs/{job}")["status"] in done, 30)
        self.assertEqual(ask(cluster.port, f"/2/jobs/{job}")["status"], "success")
        return job

    def groups(self) -> set[str]:
        """The names of all groups."""
        return {group["name"] for group in ask(self.cluster.port, GROUPS)}

    def start(self) -> None:
        """Have the master run again, of a term that agents take."""
        self.cluster.master.start(wait=False)
        self.cluster.master.await_ready()

    def test_whole(self) -> None:
        """A backup of a cluster in use is restored only while nobody runs; term and ids of jobs go on."""
        self.cluster.start()
        self.cluster.await_nodes()
        self.group("before")
        self.done("backup", str(self.copy))
        self.assertEqual(problems(self.copy), [])
        self.assertEqual(self.copy.stat().st_mode & 0o777, 0o600)
        signs = [key for key in records(self.copy) if key == "seat" or key.startswith("candidate/")]
        self.assertEqual(signs, [])
        self.refused("exists", "backup", str(self.copy))
        last = self.group("after")
        self.refused("a master runs", "restore", str(self.copy))
        self.cluster.master.stop()
        self.done("restore", str(self.copy))
        kept = Path(load(self.config).store.path).with_name("state.db.before-restore-1")
        self.assertEqual(problems(kept), [])
        self.assertEqual(kept.stat().st_mode & 0o777, 0o600)
        self.done("backup", str(self.folder / "restored.db"))
        self.assertGreater(term(kept), term(self.copy))
        self.assertGreaterEqual(term(self.folder / "restored.db"), term(kept))
        self.start()
        self.assertEqual(self.groups(), {"default", "before"})
        self.assertGreater(self.group("again"), last)

    def test_candidate(self) -> None:
        """Nothing is restored under a candidate that is not master; one that was killed is waited out."""
        self.done("backup", str(self.copy))
        daemon, _ = self.second(self.cluster)
        self.cluster.start()
        daemon.start()
        await_true("the second is there", lambda: self.presence(self.cluster.port) == [True, True])
        self.cluster.master.stop()
        await_true("the second is master", lambda: "a master runs" in self.trial(), 30)
        daemon.kill()
        await_true("the seat is free", lambda: "is restored" in self.trial(), 60)

    def trial(self) -> str:
        """Try to restore; answers all that is said."""
        self.said.clear()
        self.admin("restore", "-c", str(self.config), str(self.copy))
        return " ".join(self.said)

    def test_between(self) -> None:
        """A backup of one kind of store becomes the other kind, and comes back with all records."""
        self.done("backup", str(self.copy))
        etcd = self.config.read_text()
        self.config.write_text(etcd.replace('kind = "etcd"', 'kind = "sqlite"'))
        self.done("restore", str(self.copy))
        database = Database(Path(load(self.config).store.path))
        [made] = database.commit([Commit(puts={"election": encode(ElectionRecord(term=77, node="n"))})])
        database.close()
        self.assertIsInstance(made, int)
        second = self.folder / "second.db"
        self.done("backup", str(second))
        self.config.write_text(etcd)
        self.done("restore", str(second))
        third = self.folder / "third.db"
        self.done("backup", str(third))
        self.assertEqual(term(third), 77)
        changed = {"election"}
        first, last = records(self.copy), records(third)
        self.assertEqual(set(first) - changed, set(last) - changed)
        self.assertEqual([k for k in set(first) - changed if first[k] != last[k]], [])

    def test_lost(self) -> None:
        """Where a restore was cut off, or etcd is new, there is no cluster until one is restored whole."""
        self.done("backup", str(self.copy))
        self.config.write_text(self.config.read_text().replace("[store]\n", '[store]\nprefix = "/new"\n', 1))
        self.refused("no cluster", "backup", str(self.folder / "none.db"))
        self.assertFalse((self.folder / "none.db").exists())
        broken = self.folder / "broken.db"
        broken.write_bytes(self.copy.read_bytes()[:5000])
        self.refused("cannot be restored", "restore", str(broken))
        self.refused("no cluster", "backup", str(self.folder / "none.db"))
        self.done("restore", str(self.copy))
        self.assertNotIn("kept as", " ".join(self.said))
        # What a restore leaves that was cut off: all but the cluster's own record, and more than is wanted.
        for method, body in (
            ("kv/deleterange", {"key": packed(b"/new/s/cluster")}),
            ("kv/put", {"key": packed(b"/new/s/group/x"), "value": packed(b"half")}),
        ):
            self.assertIsNotNone(self.etcd.ask(self.etcd.endpoints[0], method, body))
        self.refused("no cluster", "backup", str(self.folder / "none.db"))
        self.done("restore", str(self.copy))
        self.cluster.start()
        self.cluster.await_nodes()
        self.assertEqual(self.groups(), {"default"})
