"""The store that a configuration speaks of."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from twisted_rapi.config import StoreSection
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.state.database import Failpoint
from twisted_rapi.state.etcd import EtcdStore, open_etcd
from twisted_rapi.state.etcd_gateway import Keys, connect
from twisted_rapi.state.sqlite import SQLiteStore, open_store

InThread = Callable[..., Awaitable[Any]]


def read_keys(section: StoreSection) -> Keys:
    """
    What etcd is known by and what it is shown; blocks.

    :raises ConfigurationError: a file cannot be read.
    """
    try:
        return Keys(
            *(Path(file).read_bytes() for file in (section.authority, section.certificate, section.key))
        )
    except OSError as e:
        raise ConfigurationError(f"store: {e.filename}: {e.strerror}") from e


async def open_etcd_of(section: StoreSection, reactor: Any, keys: Keys, patience: float = 5.0) -> EtcdStore:
    """
    The store in etcd, whatever kind the configuration says.

    :raises StoreError: it cannot be opened; see `twisted_rapi.state.etcd.open_etcd`.
    """
    gateway, end = connect(reactor, section.endpoints, keys)
    try:
        return await open_etcd(gateway, reactor, uuid4().hex, section.prefix, patience, end=end)
    except BaseException:
        await end()
        raise


async def open_configured(
    section: StoreSection, reactor: Any, in_thread: InThread, failpoint: Failpoint | None = None
) -> SQLiteStore | EtcdStore:
    """
    The store of a daemon.

    :raises StoreError: it cannot be opened.
    :raises ConfigurationError: a certificate or key cannot be read.
    """
    if section.kind == "sqlite":
        return await open_store(Path(section.path), reactor, failpoint)
    return await open_etcd_of(section, reactor, await in_thread(read_keys, section))
