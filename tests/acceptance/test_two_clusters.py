"""Instances move between two clusters of real processes, one of which may be killed meanwhile."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.acceptance.test_crashes import Api, creation
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.nursery import Nursery
from twisted_rapi.testing.processes import Daemon, await_true

SECRET = "0123456789abcdef" * 4
NAME, NEW = "web1.one.example", "web2.two.example"
MIB = 1024 * 1024
ENDED = ("success", "error", "canceled")

# How the source's and the target's job end, and how the instance is at the target.
WELL, HELD, FAILED = ("success", "success", "up"), ("error", "success", "down"), ("error", "error", "")

_EXPORT = """\
#!/bin/sh
: > "{folder}/begun"
while [ -e "{folder}/gate" ]; do sleep 0.05; done
exec cat "$EXPORT_DEVICE"
"""
_SCRIPTS = {
    "create": "#!/bin/sh\n",
    "import": '#!/bin/sh\nexec cat >"$IMPORT_DEVICE"\n',
    "rename": "#!/bin/sh\n",
    "verify": "#!/bin/sh\n",
}


class TwoClusters(SynchronousTestCase):
    """
    Two clusters with one secret; each has a simulated node and an OS that copies disks.

    :ivar gate: while it is there no disk is sent.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.gate, self.begun = self.folder / "gate", self.folder / "begun"
        self.write_os()
        (self.folder / "secret").write_text(f"{SECRET}\n")
        self.one, self.two = (self.make(name) for name in ("one", "two"))
        self.apis = {cluster.domain: Api(cluster.port) for cluster in (self.one, self.two)}
        for cluster in (self.one, self.two):
            cluster.start()
        for cluster in (self.one, self.two):
            cluster.await_nodes()

    def write_os(self) -> None:
        """An OS definition whose exports wait for the gate."""
        folder = self.folder / "os/copied"
        folder.mkdir(parents=True)
        (folder / "ganeti_api_version").write_text("20\n")
        (folder / "parameters.list").write_text("")
        for name, text in {**_SCRIPTS, "export": _EXPORT.format(folder=self.folder)}.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def make(self, name: str) -> LocalCluster:
        """A cluster, not started."""
        cluster = LocalCluster(self.folder / name, nodes=1, domain=f"{name}.example", nursery=Nursery())
        self.addCleanup(cluster.remove)
        cluster.set_up()
        (cluster.config / "users").write_text("demo secret write\n")
        plan = f"@{self.plan(cluster)}"
        cluster.agents[0].environment = {"RAPI_FAILPOINT": plan}
        settings = cluster.directory / "node1/agent.toml"
        text = settings.read_text()
        settings.write_text(text.replace("os_search_path = []", f'os_search_path = ["{self.folder}/os"]'))
        admin = (sys.executable, "-c", "from twisted_rapi.admin.command import main; main()")
        config = str(cluster.config / "rapi.toml")
        given = ("domain-secret", "set", "-c", config, str(self.folder / "secret"))
        subprocess.run((*admin, *given), check=True, timeout=120)
        return cluster

    def plan(self, cluster: LocalCluster) -> Path:
        """Where it is said at which place the cluster's agent dies next."""
        return self.folder / f"plan-{cluster.domain}"

    # What clients ask.

    def api(self, cluster: LocalCluster) -> Api:
        """A client of one of them."""
        return self.apis[cluster.domain]

    def job(self, cluster: LocalCluster, number: int) -> dict[str, Any]:
        """A job, as soon as the cluster answers."""
        found: list[dict[str, Any]] = []

        def answered() -> bool:
            answer = self.api(cluster).tried("GET", f"/2/jobs/{number}")
            found[:] = [] if answer is None else [answer]
            return bool(found)

        await_true(f"{cluster.domain} answers", answered, 60)
        return found[0]

    def ended(self, cluster: LocalCluster, number: int) -> dict[str, Any]:
        """A job once it has ended."""
        await_true(f"job {number} ends", lambda: self.job(cluster, number)["status"] in ENDED, 120)
        return self.job(cluster, number)

    def done(self, cluster: LocalCluster, *request: Any) -> Any:
        """The result of a job that has to succeed."""
        found = self.ended(cluster, self.api(cluster).ask(*request))
        self.assertEqual(found["status"], "success", found)
        return found["opresult"][0]

    def create(self) -> bytes:
        """An instance on the first cluster; answers what its disk has."""
        body = {**creation(NAME), "os_type": "copied", "disks": [{"size": 4}]}
        self.done(self.one, "POST", "/2/instances", body)
        [disk] = self.disks(self.one)
        data = Random(5).randbytes(3 * MIB) + bytes(MIB)
        disk.write_bytes(data)
        return data

    def begin(self, **export: Any) -> tuple[int, int]:
        """The requests of a move in their order; answers the jobs of the creation and the export."""
        prepared = self.done(self.one, "PUT", f"/2/instances/{NAME}/prepare-export?mode=remote")
        body = {
            **creation(NEW),
            "mode": "remote-import",
            "os_type": "copied",
            "disks": [{"size": 4}],
            "source_handshake": prepared["handshake"],
            "source_x509_ca": prepared["x509_ca"],
            "source_instance_name": NAME,
        }
        taking = self.api(self.two).ask("POST", "/2/instances", body)
        told = self.listening(taking)
        given = {
            "mode": "remote",
            "destination": told["disks"],
            "x509_key_name": prepared["x509_key_name"],
            "destination_x509_ca": told["x509_ca"],
            "shutdown": True,
            **export,
        }
        return taking, self.api(self.one).ask("PUT", f"/2/instances/{NAME}/export", given)

    def listening(self, job: int) -> dict[str, Any]:
        """What the log of the creation tells whoever moves the instance; waited for as a client does."""
        serial, limit = -1, time.monotonic() + 120
        while time.monotonic() < limit:
            given = {"fields": ["status"], "previous_job_info": None, "previous_log_serial": serial}
            news = self.api(self.two).tried("GET", f"/2/jobs/{job}/wait", given)
            for number, _, kind, value in (news or {}).get("log_entries") or ():
                serial = number
                if kind == "remote-import":
                    found: dict[str, Any] = value
                    return found
            time.sleep(0.02)
        raise AssertionError(f"nobody listens: {self.job(self.two, job)}")

    # What there is.

    def disks(self, cluster: LocalCluster) -> list[Path]:
        """The files of its disks."""
        return [p for p in (cluster.directory / "file-storage").glob("*/*") if p.is_file()]

    def domains(self, cluster: LocalCluster) -> list[Path]:
        """The guests its node has."""
        return list((cluster.directory / "node1/state/fake").glob("*.json"))

    def remains(self, cluster: LocalCluster) -> list[str]:
        """What is there only while something is under way."""
        state = cluster.directory / "node1/state"
        places = ("streams/*", "stream-sessions/*", "stream-marks/*", "crypto/*")
        return sorted(str(p.relative_to(state)) for place in places for p in state.glob(place))


class MovingTests(TwoClusters):
    """An instance moves as Ganeti's tool has it moved."""

    def test_moved(self) -> None:
        """It runs there with the data it had here; here nothing is left of it."""
        data = self.create()
        taking, sending = self.begin(remove_instance=True)
        self.assertEqual(self.ended(self.one, sending)["opresult"], [[True, [True]]])
        self.assertEqual(self.ended(self.two, taking)["opresult"], [["node1.two.example"]])
        [disk] = self.disks(self.two)
        self.assertEqual(disk.read_bytes(), data)
        self.assertEqual(self.api(self.two).ask("GET", f"/2/instances/{NEW}")["status"], "running")
        self.assertEqual(self.api(self.one).ask("GET", "/2/instances"), [])
        self.assertEqual((self.disks(self.one), self.domains(self.one)), ([], []))
        self.assertEqual((self.remains(self.one), self.remains(self.two)), ([], []))


class KillTests(TwoClusters):
    """kill -9 of one of the four daemons while the disk is under way."""

    def kill(self, victim: Daemon) -> tuple[dict[str, Any], dict[str, Any]]:
        """Kill it and start it again, then have the disk sent; answers how both jobs end."""
        self.gate.touch()
        self.begun.unlink(missing_ok=True)
        taking, sending = self.begin()
        await_true("the disk is being sent", self.begun.exists, 60)
        victim.kill()
        victim.start()
        self.gate.unlink()
        return self.ended(self.one, sending), self.ended(self.two, taking)

    def test_masters(self) -> None:
        """The new master of either cluster waits for the same transfer, and both jobs end well."""
        data = self.create()
        for cluster in (self.one, self.two):
            sent, taken = self.kill(cluster.master)
            self.assertEqual((sent["status"], taken["status"]), ("success", "success"), (sent, taken))
            [disk] = self.disks(self.two)
            self.assertEqual(disk.read_bytes(), data)
            self.done(self.two, "DELETE", f"/2/instances/{NEW}")
            self.assertEqual((self.remains(self.one), self.remains(self.two)), ([], []))

    def test_agents(self) -> None:
        """Without its agent the transfer has ended: both jobs say so, nothing is left, and here it runs."""
        data = self.create()
        for cluster in (self.one, self.two):
            sent, taken = self.kill(cluster.agents[0])
            self.assertEqual((sent["status"], taken["status"]), ("error", "error"), (sent, taken))
            self.assertEqual((self.disks(self.two), self.domains(self.two)), ([], []))
            self.assertEqual(self.api(self.two).ask("GET", "/2/instances"), [])
            [disk] = self.disks(self.one)
            self.assertEqual((disk.read_bytes(), len(self.domains(self.one))), (data, 1))
            # The key stays for another attempt, until its day is over.
            left = [what for what in self.remains(self.one) if not what.startswith("crypto/")]
            self.assertEqual((left, self.remains(self.two)), ([], []))


class PlantedTests(TwoClusters):
    """One of the agents dies right before or right after a step, and is started again."""

    def test_each_step(self) -> None:
        """Both jobs end as they have to; never is the instance lost, or does it run twice."""
        data = self.create()
        for cluster, step, *wanted in (
            (self.two, "certificate.create", WELL, WELL),
            (self.two, "stream.open", WELL, WELL),
            (self.two, "stream.await", FAILED, FAILED),
            (self.two, "stream.confirm", HELD, WELL),
            (self.two, "certificate.remove", WELL, WELL),
            (self.one, "stream.send", WELL, WELL),
            (self.one, "certificate.remove", WELL, WELL),
        ):
            for when, expected in zip(("before", "after"), wanted, strict=True):
                place = f"{when} {step}"
                self.plant(cluster, place)
                self.assertEqual(self.moved(cluster), expected, place)
                self.assertEqual(self.died(cluster), [place])
                for disk in (*self.disks(self.one), *self.disks(self.two)):
                    self.assertEqual(disk.read_bytes(), data, place)
                if expected != FAILED:
                    self.done(self.two, "DELETE", f"/2/instances/{NEW}")
                self.check_clean(place)

    def plant(self, cluster: LocalCluster, place: str) -> None:
        """The agent that comes to this place dies there."""
        plan = self.plan(cluster)
        plan.with_name(f"{plan.name}.died").unlink(missing_ok=True)
        part = plan.with_suffix(".part")
        part.write_text(f"{place}:1")
        part.rename(plan)

    def died(self, cluster: LocalCluster) -> list[str]:
        """Where its agent has died."""
        file = self.plan(cluster).with_name(f"{self.plan(cluster).name}.died")
        return file.read_text().splitlines() if file.exists() else []

    def moved(self, cluster: LocalCluster) -> tuple[str, str, str]:
        """How both jobs end, and how the instance is there then, while the agent is started again."""
        done = threading.Event()
        reviving = threading.Thread(target=self.revive, args=(cluster, done))
        reviving.start()
        try:
            taking, sending = self.begin()
            sent, taken = self.ended(self.one, sending), self.ended(self.two, taking)
        finally:
            done.set()
            reviving.join()
        there = self.api(self.two).ask("GET", "/2/instances?bulk=1")
        return sent["status"], taken["status"], there[0]["admin_state"] if there else ""

    def revive(self, cluster: LocalCluster, done: threading.Event) -> None:
        """Start the agent when it has died, as a supervisor would, until all is done."""
        agent = cluster.agents[0]
        while not done.wait(0.05):
            if not agent.running:
                agent.start(wait=False)

    def check_clean(self, place: str) -> None:
        """Nothing is left of the transfer, and the instance runs where it was."""
        cluster = self.one
        await_true("it runs", lambda: self.api(cluster).ask("GET", f"/2/instances/{NAME}")["oper_state"], 60)
        self.assertEqual((self.disks(self.two), self.domains(self.two)), ([], []), place)
        left = [what for what in self.remains(self.one) if not what.startswith("crypto/")]
        self.assertEqual((left, self.remains(self.two)), ([], []), place)
