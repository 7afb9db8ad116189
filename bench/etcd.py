"""
The figures over an etcd of three members on this machine, beside those over SQLite: ``python -m bench.etcd``.

Everything shares the machine's cores and its disk: three times the writes of one store, and the clients.
"""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import run
from sys import executable

from bench.client import Client, percentile, reads_per_second, timed
from bench.run import PASSWORD, USER, jobs, need_wrk, say, seed
from twisted_rapi.testing.etcd import EtcdCluster
from twisted_rapi.testing.local import LocalCluster

ROUNDS, SECONDS, JOBS = 3, 4, 500


def move(cluster: LocalCluster, etcd: EtcdCluster) -> None:
    """Put a cluster that was founded in SQLite into etcd."""
    folder = cluster.config
    for name, content in (
        ("etcd-ca.pem", etcd.keys.authority),
        ("etcd-client.pem", etcd.keys.certificate),
        ("etcd-client.key", etcd.keys.key),
    ):
        (folder / name).write_bytes(content)
    config = folder / "rapi.toml"
    endpoints = ", ".join(f'"{endpoint}"' for endpoint in etcd.endpoints)
    text = config.read_text().replace("[store]\n", f'[store]\nkind = "etcd"\nendpoints = [{endpoints}]\n')
    config.write_text(text)
    command = "from twisted_rapi.admin.command import main; main()"
    took = timed(
        lambda: run(
            [executable, "-c", command, "store", "copy", "-c", str(config), "sqlite", "etcd"], check=True
        )
    )
    say(f"moved to etcd in {took:.1f} s")


def restart(cluster: LocalCluster) -> None:
    """How long after kill -9 of the only candidate a new one answers: its lease has to end first."""
    cluster.master.kill()
    begun = time.perf_counter()
    cluster.master.start(wait=False)
    cluster.master.await_ready()
    say(f"killed and started again, it answers after {time.perf_counter() - begun:.1f} s")


def spent(*pids: int) -> float:
    """Seconds of a processor that processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def reads(clusters: Mapping[str, LocalCluster]) -> None:
    """Keep-alive reads of each, in turns, and how long one takes that is alone."""
    for path in ("/2/info", "/2/instances/inst1.example.com"):
        found: dict[str, list[float]] = {store: [] for store in clusters}
        took: dict[str, list[float]] = {store: [] for store in clusters}
        for store in ROUNDS * list(clusters):
            master = clusters[store].master.pid
            before = spent(master)
            found[store].append(reads_per_second(clusters[store].port, path, SECONDS))
            took[store].append((spent(master) - before) / (found[store][-1] * SECONDS) * 1e6)
        half = {store: percentile(rates, 0.5) for store, rates in found.items()}
        told = ", ".join(f"{rate:.0f}/s on {store}" for store, rate in half.items())
        say(f"reads of {path}: {told}; ratio {half['etcd'] / half['SQLite']:.2f}")
        told = ", ".join(f"{percentile(each, 0.5):.0f} µs on {store}" for store, each in took.items())
        say(f"  a read takes of a processor: {told}")
    for store, cluster in clusters.items():
        client = Client(cluster.port)
        alone = [timed(client.read, "/2/info") * 1000 for _ in range(200)]
        say(f"a read on {store}: p50 {percentile(alone, 0.5):.1f} ms, p99 {percentile(alone, 0.99):.1f} ms")


def worked(cluster: LocalCluster, members: Sequence[int]) -> None:
    """Jobs, and what of the processors they take, whoever else uses these."""
    for what, path in (
        ("each tags an instance", "/2/instances/inst{n}.example.com/tags?tag=bench"),
        ("all tag the cluster", "/2/tags?tag=t{n}"),
    ):
        before = spent(cluster.master.pid), spent(*members)
        jobs(cluster, what, path, JOBS)
        took = [(spent(cluster.master.pid) - before[0]) / JOBS, (spent(*members) - before[1]) / JOBS]
        told = f"{took[0] * 1000:.1f} ms of the master" + (
            f", {took[1] * 1000:.1f} ms of etcd's members together" if members else ""
        )
        say(f"  a job takes of a processor: {told}")


def made(folder: Path) -> LocalCluster:
    """A cluster with 500 instances, in SQLite; it does not run."""
    cluster = LocalCluster(folder)
    cluster.set_up()
    (cluster.config / "users").write_text(f"{USER} {PASSWORD} write\n")
    seed(cluster, 0, 500)
    return cluster


def main() -> None:
    """Measure, and say it."""
    need_wrk()
    with tempfile.TemporaryDirectory(prefix="rapi-bench-") as name:
        etcd = EtcdCluster(Path(name) / "etcd")
        etcd.set_up()
        clusters = {store: made(Path(name) / store) for store in ("SQLite", "etcd")}
        try:
            etcd.start()
            move(clusters["etcd"], etcd)
            for cluster in clusters.values():
                cluster.start()
            reads(clusters)
            for store, cluster in clusters.items():
                say(f"on {store}:")
                members = [member.daemon.pid for member in etcd.members] if store == "etcd" else []
                worked(cluster, members)
            restart(clusters["etcd"])
        finally:
            for cluster in clusters.values():
                cluster.stop()
            etcd.remove()


if __name__ == "__main__":
    main()
