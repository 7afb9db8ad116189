"""The etcd that these tests share: three members, started when the first test needs them."""

import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from twisted.internet import reactor

from twisted_rapi.testing.etcd import EtcdCluster

_shared: list[EtcdCluster] = []


def shared_etcd() -> EtcdCluster:
    """The cluster, with all members at work; it is removed when the process ends."""
    if not _shared:
        folder = Path(mkdtemp(prefix="etcd-", dir="."))
        cluster = EtcdCluster(folder.resolve() / "etcd")
        any_reactor: Any = reactor

        def remove() -> None:
            cluster.remove()
            shutil.rmtree(folder)

        any_reactor.addSystemEventTrigger("after", "shutdown", remove)
        cluster.set_up()
        cluster.start()
        _shared.append(cluster)
    return _shared[0]
