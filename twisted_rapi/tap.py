"""``twistd rapi``: the master daemon as a service."""

from pathlib import Path
from random import SystemRandom
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from twisted_rapi.config import load
from twisted_rapi.daemon import make_daemon
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.monotonic import use_boot_time


class Options(usage.Options):
    """Options of ``twistd rapi``."""

    synopsis = "[--config=FILE]"
    longdesc = "Serve the cluster's remote API and run its jobs."
    optParameters = [["config", "c", "/etc/twisted_rapi/rapi.toml", "Configuration file."]]

    def postOptions(self) -> None:
        """Read the configuration; nothing has been started when it is refused."""
        try:
            self.config = load(Path(self["config"]))
        except ConfigurationError as e:
            raise usage.UsageError(str(e)) from e


def makeService(options: Options) -> IService:
    """The daemon with the process's reactor."""
    from twisted.internet import reactor  # noqa: TID251 -- one of the two places that know it

    any_reactor: Any = reactor
    use_boot_time(any_reactor)
    return make_daemon(options.config, any_reactor, SystemRandom())
