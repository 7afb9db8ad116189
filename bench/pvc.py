"""PVC's API beside what was recorded of PVC 0.6 (Flask, gevent, a real ZooKeeper; two noisy processors)."""

from pathlib import Path

import attrs

from bench.client import Client, percentile, reads_per_second, timed
from twisted_rapi.testing.local import LocalCluster

GOAL = 50  # times as fast


@attrs.frozen
class Recorded:
    """
    What PVC 0.6 did with one kind of request, at its best.

    :ivar per_second: with one client; `eight`: with eight; `words`: how that was.
    """

    path: str
    per_second: float
    eight: float
    words: str


RECORDED = (
    Recorded("/api/v1/", 22.0, 176.0, "connections kept; 1 400/s with a new one for each"),
    Recorded("/api/v1/node", 36.0, 37.0, "4 nodes"),
    Recorded("/api/v1/vm", 1 / 4.1, 0.24, "1 000 machines"),
)


def enable(cluster: LocalCluster) -> None:
    """Have a cluster serve the API, open to all."""
    with Path(cluster.config / "rapi.toml").open("a", encoding="utf-8") as f:
        f.write('\n[pvc]\nenabled = true\nauthentication = false\ndialect = "0.6"\n')


def measure(cluster: LocalCluster) -> None:
    """Say requests a second with one client and with eight, how long one takes, and how that compares."""
    cold = timed(Client(cluster.port).read, "/api/v1/vm")
    print(f"PVC's /api/v1/vm for the first time: {cold * 1000:.0f} ms (PVC 0.6: 4 100 ms each time)")
    for row in RECORDED:
        client = Client(cluster.port)
        client.read(row.path)
        took = [timed(client.read, row.path) * 1000 for _ in range(50)]
        one, eight = (reads_per_second(cluster.port, row.path, connections=n) for n in (1, 8))
        half, most = percentile(took, 0.5), percentile(took, 0.99)
        print(
            f"PVC's {row.path}: 1 client {one:.0f}/s, 8 clients {eight:.0f}/s, p50 {half:.1f} ms, "
            f"p99 {most:.1f} ms; PVC 0.6 {row.per_second:.2g}/s and {row.eight:.2g}/s ({row.words}): "
            f"{one / row.per_second:.0f} and {eight / row.eight:.0f} times (goal {GOAL})"
        )
