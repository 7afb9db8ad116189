"""
``make bench``: figures of this machine, now.

Everything is measured in one run, side by side where a ratio counts.  Goals stand beside the figures; nothing
fails when one is missed, as machines differ.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench import pvc
from bench.client import Client, idle_sockets, percentile, reads_per_second, timed
from bench.records import instance
from twisted_rapi.model.records import name_key
from twisted_rapi.state.database import Database
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.processes import Daemon, await_true, free_port, port_open

USER, PASSWORD = "bench", "secret"


def say(text: str) -> None:
    """A line of the report."""
    print(text, flush=True)


def seed(cluster: LocalCluster, first: int, last: int) -> None:
    """Put instances into the store of a cluster that does not run."""
    database = Database(cluster.directory / "state.db")
    node = next(key.partition("/")[2] for key in sorted(database.page("node/", "", 10).entries))
    for start in range(first, last, 500):
        records = [instance(n, node) for n in range(start, min(start + 500, last))]
        names = {name_key("instance", r.name): r.uuid for r in records}
        [result] = database.commit([commit_of(records, names=names)])
        assert isinstance(result, int), result
    database.close()


def memory(pid: int) -> float:
    """Resident MiB of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise ValueError(pid)


def reads(cluster: LocalCluster, folder: Path) -> None:
    """Keep-alive reads against a bare resource that answers the same bytes."""
    client = Client(cluster.port)
    pem = folder / "bare.pem"
    pem.write_bytes((cluster.config / "api.key").read_bytes() + (cluster.config / "api.pem").read_bytes())
    for path in ("/2/info", "/2/instances/inst1.example.com"):
        body = folder / "body"
        body.write_bytes(client.read(path))
        port = free_port()
        command = (sys.executable, "-m", "bench.bare", str(port), str(pem), str(body))
        bare = Daemon("bare", command, folder / "bare.log", lambda port=port: port_open(port))
        bare.start()
        try:
            ours, theirs = [], []
            for _ in range(3):
                ours.append(reads_per_second(cluster.port, path))
                theirs.append(reads_per_second(port, path))
        finally:
            bare.kill()
        ratio = sorted(a / b for a, b in zip(ours, theirs, strict=True))[1]
        say(
            f"reads of {path}: {sorted(ours)[1]:.0f}/s, bare twisted.web {sorted(theirs)[1]:.0f}/s, "
            f"ratio {ratio:.2f} (goal 0.85)"
        )


def bulk(cluster: LocalCluster, count: int, goal: str = "") -> None:
    """The bulk list, first cold and then kept."""
    cold = timed(Client(cluster.port).read, "/2/instances?bulk=1")
    client = Client(cluster.port)
    warm = min(timed(client.read, "/2/instances?bulk=1") for _ in range(5))
    body = client.read("/2/instances?bulk=1")
    assert len(json.loads(body)) == count
    say(
        f"bulk list of {count} instances: cold {cold * 1000:.0f} ms, kept {warm * 1000:.0f} ms, "
        f"{len(body) / 1e6:.1f} MB{goal}"
    )


def jobs(cluster: LocalCluster, what: str, path: str, count: int = 500, clients: int = 50) -> None:
    """
    Tag jobs from many clients at once: how many a second, and how soon each starts.

    :param path: of the tags; ``{n}`` in it is the job's number.
    """
    begun = time.perf_counter()
    submitted = _submit(cluster, path, count, clients)
    client = Client(cluster.port, USER, PASSWORD)
    found: list[dict[str, Any]] = []

    def ended() -> bool:
        found[:] = [j for j in client.ask("GET", "/2/jobs?bulk=1") if j["id"] in submitted]
        return all(j["status"] in ("success", "error", "canceled") for j in found)

    client.finish(max(submitted))  # without asking again and again, which would be measured too
    await_true("all jobs have ended", ended, 60)
    took = time.perf_counter() - begun
    failed = sum(1 for j in found if j["status"] != "success")
    ends = max(_seconds(j["end_ts"]) for j in found) - min(_seconds(j["received_ts"]) for j in found)
    say(
        f"{len(found)} jobs from {clients} clients, {what}: {failed} failed, {len(found) / ends:.0f} jobs/s "
        f"from first accepted to last ended, {len(found) / took:.0f} with the clients' own time (goal 200/s)"
    )
    waits = [_seconds(j["start_ts"]) - _seconds(j["received_ts"]) for j in found]
    half, most = percentile(waits, 0.5) * 1000, percentile(waits, 0.99) * 1000
    say(f"  submit to start: p50 {half:.1f} ms, p99 {most:.1f} ms (goal p99 200 ms)")


def _submit(cluster: LocalCluster, path: str, count: int, clients: int) -> set[int]:
    """Submit from threads of their own; answers the jobs' ids."""
    submitted: set[int] = set()
    share = count // clients

    def work(first: int) -> None:
        client = Client(cluster.port, USER, PASSWORD)
        for n in range(first, first + share):
            submitted.add(client.ask("PUT", path.format(n=n)))

    threads = [threading.Thread(target=work, args=(n * share,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return submitted


def _seconds(stamp: list[int]) -> float:
    return stamp[0] + stamp[1] / 1e6


def need_wrk() -> None:
    """
    What counts reads has to be there.

    :raises SystemExit: it is not.
    """
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed (Debian package wrk)")


def idle(cluster: LocalCluster, count: int = 900) -> None:
    """A read while many connections say nothing."""
    sockets = idle_sockets(cluster.port, count)
    client = Client(cluster.port)
    client.read("/2/info")
    took = sorted(timed(client.read, "/2/info") for _ in range(50))
    for s in sockets:
        s.close()
    median, worst = took[25] * 1000, took[-1] * 1000
    say(f"a read with {count} idle sockets: median {median:.1f} ms, worst {worst:.1f} ms (goal 20 ms)")


def main() -> None:
    """Measure, and say it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(8192, hard)), hard))
    need_wrk()
    with tempfile.TemporaryDirectory(prefix="rapi-bench-") as name:
        cluster = LocalCluster(Path(name) / "cluster")
        cluster.set_up()
        pvc.enable(cluster)
        (cluster.config / "users").write_text(f"{USER} {PASSWORD} write\n")
        try:
            cluster.start()
            empty = memory(cluster.master.pid)
            cluster.stop()
            seed(cluster, 0, 1000)
            cluster.start()
            reads(cluster, Path(name))
            bulk(cluster, 1000)
            pvc.measure(cluster)
            idle(cluster)
            jobs(
                cluster, "each tags an instance of its own", "/2/instances/inst{n}.example.com/tags?tag=bench"
            )
            jobs(cluster, "all tag the cluster", "/2/tags?tag=t{n}")
            cluster.stop()
            seed(cluster, 1000, 5000)
            cluster.start()
            bulk(cluster, 5000, " (goal 300 ms)")
            full = memory(cluster.master.pid)
            say(f"resident memory: {empty:.0f} MiB without instances, {full:.0f} MiB with 5000")
            cluster.stop()
            subprocess.run([sys.executable, "-m", "bench.scale"], check=True)
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
