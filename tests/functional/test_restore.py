"""``rapi-admin restore``, and what ``rapi-admin check`` says of the clocks of other nodes."""

import http.server
import os
import sqlite3
import ssl
import subprocess
import threading
import time
from email.utils import formatdate
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import missing
from twisted_rapi.admin.check import check_all
from twisted_rapi.admin.command import run
from twisted_rapi.admin.founding import ClusterPlan, NodePlan, found
from twisted_rapi.admin.restoring import problems
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.records import CounterRecord
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.database import Database, integrity, schema
from twisted_rapi.state.interface import Commit
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.nursery import Nursery
from twisted_rapi.testing.processes import free_port

COUNTER = "counter/job"


class AdminCase(SynchronousTestCase):
    """Has a cluster of three nodes that does not run."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.told: list[str] = []
        self.ports = [free_port() for _ in range(3)]
        nodes = [
            NodePlan(
                name=f"node{n}.example.com",
                address="127.0.0.1",
                port=port,
                directory=self.folder / f"node{n}",
                settings="",
            )
            for n, port in enumerate(self.ports, 1)
        ]
        self.store = self.folder / "var/state.db"
        settings = f'[store]\npath = "{self.store}"\n[api]\nlisten = "127.0.0.1:{free_port()}"\n'
        settings += '[metrics]\nlisten = ""\n'
        plan = ClusterPlan(
            name="c.example.com",
            directory=self.folder / "etc",
            store=self.store,
            nodes=nodes,
            settings=settings,
            hypervisor="fake",
        )
        found(plan)
        self.config = str(self.folder / "etc/rapi.toml")

    def admin(self, *arguments: str) -> int:
        status = run([arguments[0], "-c", self.config, *arguments[1:]], self.told.append)
        assert isinstance(status, int)
        return status


class RestoreTests(AdminCase):
    """A backup becomes the store."""

    def setUp(self) -> None:
        super().setUp()
        self.copy = self.folder / "copy.db"
        self.put({"tag": 1})
        self.assertEqual(self.admin("backup", str(self.copy)), 0)

    def put(self, counters: dict[str, int], term: int = 1) -> None:
        """Write to the store, as a master would."""
        database = Database(self.store)
        puts = {f"counter/{name}": encode(CounterRecord(value=value)) for name, value in counters.items()}
        puts["election"] = encode(ElectionRecord(term=term, node="x"))
        [result] = database.commit([Commit(puts=puts)])
        self.assertIsInstance(result, int)
        database.close()

    def counters(self, store: Path) -> dict[str, int]:
        """What is in a store: its counters and its term."""
        database = Database(store)
        try:
            entries = {**database.page("counter/", "", 10).entries, **database.get(["election"])}
        finally:
            database.close()
        values = {}
        for key, entry in entries.items():
            record = decode(key, entry.value)
            values[key] = record.term if isinstance(record, ElectionRecord) else record.value  # type: ignore[attr-defined]
        return values

    def names(self) -> list[str]:
        """The files beside the store, but the empty ones that SQLite leaves where it has only read."""
        beside = self.store.parent.iterdir()
        return sorted(p.name for p in beside if not p.name.endswith(("-wal", "-shm")))

    def test_restored(self) -> None:
        """The store is as it was, the one before is kept whole, each time; term and ids of jobs go on."""
        self.put({"tag": 2, "job": 70}, term=9)
        self.assertEqual(self.admin("restore", str(self.copy)), 0, self.told)
        self.assertEqual(self.counters(self.store), {"counter/tag": 1, COUNTER: 70, "election": 9})
        kept = self.folder / "var/state.db.before-restore-1"
        self.assertEqual(integrity(kept), [])
        self.assertEqual(self.store.stat().st_mode & 0o777, 0o600)
        self.put({"tag": 3, "job": 80}, term=12)
        self.assertEqual(self.admin("restore", str(kept)), 0, self.told)
        self.assertEqual(self.counters(self.store), {"counter/tag": 2, COUNTER: 80, "election": 12})
        expected = ["state.db", "state.db.before-restore-1", "state.db.before-restore-2", "state.db.lock"]
        self.assertEqual(self.names(), expected)

    def test_unwritten_log(self) -> None:
        """What a killed master left in the log beside its store is kept with it, out of the new one."""
        writer = sqlite3.connect(self.store, isolation_level=None)
        value = encode(CounterRecord(value=5))
        writer.execute("INSERT OR REPLACE INTO entries VALUES ('counter/tag', ?, 99)", (value,))
        names = ("state.db", "state.db-wal")
        whole = {name: (self.store.parent / name).read_bytes() for name in names}
        writer.close()
        for name, content in whole.items():
            (self.store.parent / name).write_bytes(content)
        self.assertGreater(len(whole["state.db-wal"]), 0)
        self.assertEqual(self.admin("restore", str(self.copy)), 0, self.told)
        self.assertEqual(self.counters(self.store)["counter/tag"], 1)
        self.assertEqual(self.counters(self.folder / "var/state.db.before-restore-1")["counter/tag"], 5)

    def test_broken_store(self) -> None:
        """A store that is broken or gone is replaced, too."""
        self.store.write_bytes(b"broken" * 1000)
        self.assertEqual(self.admin("restore", str(self.copy)), 0, self.told)
        self.assertEqual((self.folder / "var/state.db.before-restore-1").read_bytes(), b"broken" * 1000)
        self.store.unlink()
        self.assertEqual(self.admin("restore", str(self.copy)), 0, self.told)
        self.assertEqual(self.counters(self.store)["counter/tag"], 1)

    def test_running(self) -> None:
        """While a master has the store open nothing is changed."""
        self.put({"tag": 2})
        database = Database(self.store)
        try:
            self.assertEqual(self.admin("restore", str(self.copy)), 1)
        finally:
            database.close()
        self.assertIn("stop it first", self.told[-1])
        self.assertEqual(self.counters(self.store)["counter/tag"], 2)

    def test_bad_backups(self) -> None:
        """What is no store, is damaged, has no cluster or is too new is refused, and nothing is changed."""
        before = self.store.read_bytes()
        bad = self.folder / "bad.db"
        good = self.copy.read_bytes()

        def changed(*statements: str) -> bytes:
            bad.write_bytes(good)
            db = sqlite3.connect(bad)
            for statement in statements:
                db.execute(statement)
            db.commit()
            db.close()
            return bad.read_bytes()

        for content, why in (
            (b"", "not a store"),
            (b"text" * 500, "cannot be read"),
            (good[: len(good) // 2], ""),
            (changed("DELETE FROM entries WHERE key = 'cluster'"), "no cluster"),
            (changed("UPDATE entries SET value = 'x' WHERE key = 'cluster'"), "cluster"),
            (changed(f"PRAGMA user_version = {len(schema()) + 1}"), "newer"),
            (changed("DROP TABLE entries"), "not a store"),
        ):
            bad.write_bytes(content)
            self.assertEqual(self.admin("restore", str(bad)), 1, why)
            self.assertIn(why, self.told[-1])
            self.assertIn("cannot be restored", self.told[-1])
        self.assertEqual(problems(self.folder / "none"), ["there is no such file"])
        self.assertEqual((self.store.read_bytes(), self.names()), (before, ["state.db", "state.db.lock"]))


class _Late(http.server.BaseHTTPRequestHandler):
    """An agent's listener whose clock is an hour behind."""

    behind = 3600.0

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(time.time() - self.behind, usegmt=True)

    def log_message(self, *_: object) -> None:
        pass


class _Right(_Late):
    behind = 0.0


class ClockTests(AdminCase):
    """The clocks of other nodes."""

    def listen(self, n: int, handler: type[_Late]) -> None:
        """Be the agent of a node."""
        server = http.server.HTTPServer(("127.0.0.1", self.ports[n - 1]), handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.folder / "etc/ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.folder / f"node{n}/node.pem", self.folder / f"node{n}/node.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)

    def clocks(self) -> dict[str, tuple[bool, str]]:
        found = check_all(self.folder / "etc")
        return {f.what.removeprefix("clock of "): (f.good, f.text) for f in found if "clock of" in f.what}

    def test_wrong(self) -> None:
        """One that is behind is found, with a way to mend it; one that is right is well."""
        self.listen(2, _Late)
        self.listen(3, _Right)
        found = self.clocks()
        self.assertEqual(sorted(found), ["node2.example.com", "node3.example.com"])
        good, text = found["node2.example.com"]
        self.assertFalse(good)
        self.assertRegex(text, "^3(599|600) s behind this machine's; .*NTP")
        self.assertEqual(found["node3.example.com"], (True, "as this machine's"))

    def test_silent(self) -> None:
        """Nodes that do not answer, or are others than they should be, are named with the reason."""
        os.replace(self.folder / "etc/master.pem", self.folder / "node2/node.pem")
        (self.folder / "etc/master.pem").write_bytes((self.folder / "node2/node.pem").read_bytes())
        found = self.clocks()
        for name, port in zip(("node2.example.com", "node3.example.com"), self.ports[1:], strict=True):
            good, text = found[name]
            self.assertFalse(good)
            self.assertIn(f"127.0.0.1:{port}", text)
            self.assertIn("start rapi-agent there", text)


class RunningTests(SynchronousTestCase):
    """With real daemons."""

    skip = missing("curl")

    def test_cluster(self) -> None:
        """Agents tell the time; a master that runs cannot be restored, a stopped one works on after it."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        cluster = LocalCluster(folder, nursery=Nursery())
        cluster.set_up()
        self.addCleanup(cluster.remove)
        cluster.add_user("demo", "secret")
        cluster.start()
        cluster.await_nodes()
        self.assertEqual([f for f in check_all(cluster.config) if not f.good], [])
        told: list[str] = []
        config, copy = str(cluster.config / "rapi.toml"), str(folder / "copy.db")
        self.assertEqual(run(["backup", "-c", config, copy], told.append), 0, told)
        self.assertEqual(run(["restore", "-c", config, copy], told.append), 1)
        asked = ["curl", "-sk", "-u", "demo:secret", "-X", "PUT", f"{cluster.url}/2/tags?tag=later"]
        subprocess.run(asked, capture_output=True, timeout=10, check=True)
        cluster.master.stop()
        self.assertEqual(run(["restore", "-c", config, copy], told.append), 0, told)
        cluster.master.start()
        cluster.await_nodes()
        self.assertEqual(cluster._read("/2/tags"), [])
        again = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
        self.assertEqual(again.stdout, "2\n", "ids of jobs go on")
