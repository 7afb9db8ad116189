"""
``make demo``: a cluster of one machine to play with.

A master on SQLite and three agents with simulated machines, as processes over TLS on loopback, with their
state below a directory that a second run finds again.
"""

import argparse
import secrets
import signal
import sys
import threading
from pathlib import Path

from twisted_rapi.admin.files import users, write_private
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.processes import DidNotStart, port_open

USER = "demo"


def password_of(directory: Path) -> str:
    """The demo user's password: kept in a file, made when there is none."""
    file = directory / "password"
    if not file.exists():
        write_private(file, f"{secrets.token_urlsafe(12)}\n".encode())
    return file.read_text(encoding="utf-8").strip()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _greeting(cluster: LocalCluster, password: str) -> str:
    ca, url = cluster.config / "ca.pem", cluster.url
    curl = f"curl --cacert {ca} -u {USER}:{password}"
    body = (
        '{"__version__": 1, "mode": "create", "instance_name": "web1.example.com", "disk_template": "file", '
        '"disks": [{"size": 64}], "nics": [{}], "os_type": "noop+default"}'
    )
    return f"""
The cluster is ready: {url}
User {USER}, password {password} (also in {cluster.directory / "password"})

Try:
  {curl} {url}/2/info
  {curl} -H 'Content-Type: application/json' -d '{body}' {url}/2/instances
  {curl} '{url}/2/instances?bulk=1'

Ctrl-C stops everything; the state stays below {cluster.directory}."""


def main() -> int:
    """Run the demonstration until it is interrupted."""
    parser = argparse.ArgumentParser(description="A cluster with simulated machines, to play with.")
    parser.add_argument("--directory", type=Path, default=Path(".demo"))
    parser.add_argument("--port", type=int, default=5080)
    options = parser.parse_args()
    directory = options.directory.resolve()
    directory.mkdir(mode=0o750, exist_ok=True)
    if port_open(options.port):
        _say(f"Something listens on port {options.port} already; try another one: make demo PORT=5090")
        return 1
    cluster = LocalCluster(directory, port=options.port)
    cluster.set_up()
    password = password_of(directory)
    if USER not in users(cluster.config / "users"):
        cluster.add_user(USER, password)
    return _run(cluster, password)


def _run(cluster: LocalCluster, password: str) -> int:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        cluster.start()
        cluster.await_nodes()
        _say(_greeting(cluster, password))
        while not ended.wait(1.0):
            gone = [d.name for d in (cluster.master, *cluster.agents) if not d.running]
            if gone:
                _say(f"{gone[0]} has ended; its log is below {cluster.directory}")
                return 1
    except DidNotStart as e:
        _say(str(e))
        return 1
    finally:
        cluster.stop()
    _say("Stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
