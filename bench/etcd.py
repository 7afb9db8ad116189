"""
The figures over an etcd of three members on this machine: ``python -m bench.etcd``.

Everything shares the machine's cores and its disk: three times the writes of one store, and the clients.
"""

import tempfile
import time
from pathlib import Path
from subprocess import run
from sys import executable

from bench.client import Client, percentile, timed
from bench.run import PASSWORD, USER, jobs, say, seed
from twisted_rapi.testing.etcd import EtcdCluster
from twisted_rapi.testing.local import LocalCluster


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


def main() -> None:
    """Measure, and say it."""
    with tempfile.TemporaryDirectory(prefix="rapi-bench-") as name:
        etcd = EtcdCluster(Path(name) / "etcd")
        cluster = LocalCluster(Path(name) / "cluster")
        etcd.set_up()
        cluster.set_up()
        (cluster.config / "users").write_text(f"{USER} {PASSWORD} write\n")
        try:
            etcd.start()
            seed(cluster, 0, 500)
            move(cluster, etcd)
            cluster.start()
            client = Client(cluster.port)
            reads = sorted(timed(client.read, "/2/info") for _ in range(200))
            half, most = percentile(reads, 0.5) * 1000, percentile(reads, 0.99) * 1000
            say(f"a read: p50 {half:.1f} ms, p99 {most:.1f} ms")
            jobs(cluster, "each tags an instance", "/2/instances/inst{n}.example.com/tags?tag=bench")
            jobs(cluster, "all tag the cluster", "/2/tags?tag=t{n}")
            restart(cluster)
        finally:
            cluster.stop()
            etcd.remove()


if __name__ == "__main__":
    main()
