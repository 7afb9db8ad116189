"""What the commands of ``rapi-admin`` have in common."""

import sys
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.python import usage

CONFIG = "/etc/twisted_rapi"
STATE = "/var/lib/twisted_rapi"

Work = Callable[[Any], Coroutine[Any, Any, int]]
"""What of a command waits for the network: it is handed the reactor, and answers the exit status."""


class Command(usage.Options):
    """A subcommand; `run` does it and answers the exit status, or what is left to do on the network."""

    def run(self) -> int | Work:
        """Do it."""
        raise NotImplementedError

    def need(self, *names: str) -> None:
        """Refuse to go on without these options."""
        for name in names:
            if not self[name]:
                raise usage.UsageError(f"--{name} is needed")

    def check_hypervisor(self) -> None:
        """Refuse one that agents do not have."""
        if self["hypervisor"] not in ("kvm", "fake"):
            raise usage.UsageError("--hypervisor is kvm or fake")


def run_sub(options: Any) -> int | Work:
    """Do what was named after a command."""
    if options.subCommand is None:
        raise usage.UsageError(f"a command is needed\n{options}")
    result: int | Work = options.subOptions.run()
    return result


def say_out(text: str) -> None:
    """Tell the operator."""
    sys.stdout.write(f"{text}\n")
