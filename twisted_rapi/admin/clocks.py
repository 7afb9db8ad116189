"""What time the cluster's other nodes have, by what their agents answer."""

import contextlib
import sqlite3
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import attrs

from twisted_rapi.config import Config
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.state.codec import decode

PATIENCE = 3.0  # seconds until a node counts as silent
AT_ONCE = 16
MOST_APART = 5.0  # seconds; clocks that are kept by NTP are within a small part of one


@attrs.frozen
class NodeClock:
    """
    The clock of a node.

    :ivar ahead: seconds it is ahead of this machine's at least (negative: behind); 0 where no difference can
        be seen in whole seconds.  ``None``: it could not be asked, for the reason `silent`.
    """

    node: str
    ahead: float | None
    silent: str = ""


def other_nodes(store: Path, here: str) -> list[NodeRecord]:
    """
    The nodes of a store, which may be in use, but the one called `here` and those that are marked offline.

    :raises sqlite3.Error: it cannot be read.
    """
    with contextlib.closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT key, value FROM entries WHERE key >= 'node/' AND key < 'node0'").fetchall()
    nodes = [record for key, value in rows if isinstance(record := decode(key, value), NodeRecord)]
    return others(nodes, here)


def others(nodes: Sequence[NodeRecord], here: str) -> list[NodeRecord]:
    """Those of these nodes that are not called `here` nor marked offline, by name."""
    return sorted((n for n in nodes if n.name != here and not n.offline), key=lambda n: n.name)


def ask_clocks(config: Config, nodes: Sequence[NodeRecord]) -> list[NodeClock]:
    """The clocks of these nodes, all asked at the same time, as the master of this configuration asks."""
    if not nodes:
        return []
    rpc = config.rpc
    context = ssl.create_default_context(cafile=rpc.authority)
    context.load_cert_chain(rpc.certificate, rpc.key)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda node: _ask(node, context), nodes))


def _ask(node: NodeRecord, context: ssl.SSLContext) -> NodeClock:
    where = f"{node.agent_host}:{node.agent_port}"
    connection = HTTPSConnection(node.agent_host, node.agent_port, context=context, timeout=PATIENCE)
    try:
        connection.connect()
        before = time.time()
        connection.request("GET", "/")
        date = connection.getresponse().getheader("Date", "")
        return NodeClock(node.name, difference(before, time.time(), parsedate_to_datetime(date).timestamp()))
    except (OSError, HTTPException) as e:
        return NodeClock(node.name, None, f"{where}: {e}")
    except ValueError:
        return NodeClock(node.name, None, f"{where}: what answers there does not say what time it is")
    finally:
        connection.close()


def difference(before: float, after: float, said: float) -> float:
    """How far a clock is ahead at least that said a whole second at some time between these two."""
    if said > after:
        return said - after
    return min(0.0, said + 1 - before)
