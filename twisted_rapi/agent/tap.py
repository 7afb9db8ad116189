"""``twistd rapi-agent``: the node agent as a service."""

from pathlib import Path
from random import SystemRandom
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from twisted_rapi.agent.daemon import make_agent
from twisted_rapi.agent.settings import load
from twisted_rapi.errors import ConfigurationError


class Options(usage.Options):
    """Options of ``twistd rapi-agent``."""

    synopsis = "[--config=FILE]"
    longdesc = "Run this node's machines for the cluster's master."
    optParameters = [["config", "c", "/etc/twisted_rapi/agent.toml", "Configuration file."]]

    def postOptions(self) -> None:
        """Read the configuration; nothing has been started when it is refused."""
        try:
            self.settings = load(Path(self["config"]))
        except ConfigurationError as e:
            raise usage.UsageError(str(e)) from e


def makeService(options: Options) -> IService:
    """The agent with the process's reactor."""
    from twisted.internet import reactor  # noqa: TID251 -- one of the two places that know it

    any_reactor: Any = reactor
    return make_agent(options.settings, any_reactor, SystemRandom())
