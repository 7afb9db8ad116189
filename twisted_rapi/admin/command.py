"""``rapi-admin``: founding a cluster, joining nodes, users, backup, checks."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThreadPool
from twisted.python import usage

from twisted_rapi.admin import joining
from twisted_rapi.admin.addressing import ApiCertificate, address_settings
from twisted_rapi.admin.backing import Backup, Restore
from twisted_rapi.admin.check import check_all, etcd_of
from twisted_rapi.admin.check_etcd import Looked, look_at_etcd
from twisted_rapi.admin.etcd_members import Etcd
from twisted_rapi.admin.founding import ClusterPlan, NodePlan, found
from twisted_rapi.admin.membership import Join, JoinToken
from twisted_rapi.admin.nodes import Node
from twisted_rapi.admin.parts import CONFIG, STATE, Command, Work, run_sub, say_out
from twisted_rapi.admin.secret import DomainSecret
from twisted_rapi.admin.storing import EtcdCertificates, Store, fill_new_etcd, store_settings
from twisted_rapi.admin.switching import Failover
from twisted_rapi.admin.tokens import TokenCommand
from twisted_rapi.admin.user import User
from twisted_rapi.config import StoreSection
from twisted_rapi.errors import RapiError

INTERRUPTED = 130  # as shells have it
_TOLD = (usage.UsageError, RapiError, OSError, UnicodeDecodeError, CancelledError)
"""What an operator can mend, or has done; anything else is our mistake, and shows where it is."""


class Init(Command):
    """``init``: a new cluster, this machine its first node."""

    longdesc = "Found a cluster: authority, certificates, store, configuration.  Nothing is overwritten."
    optParameters = [
        ["cluster", None, "", "Name of the cluster."],
        ["node", None, "", "Name of this node."],
        ["address", None, "", "Address of this node."],
        ["directory", None, CONFIG, "Folder for the configuration."],
        ["state-dir", None, STATE, "Folder for state and disks."],
        ["hypervisor", None, "kvm", "kvm, or fake for simulated machines."],
        ["bridge", None, "br0", "Bridge that NICs are connected to unless they say otherwise."],
        ["port", None, 1811, "Port of the agent.", int],
        ["etcd", None, "", "Members of etcd, https://HOST:PORT,…; the cluster is kept there."],
        ["floating", None, "", "Floating address with its prefix, such as 192.0.2.10/24."],
        ["interface", None, "", "Interface the floating address is added to; none: something else moves it."],
    ]

    def run(self) -> int | Work:
        """Do it."""
        self.need("cluster", "node", "address")
        self.check_hypervisor()
        section, floating = address_settings(self["floating"], self["interface"])
        # The store's path is resolved below the configuration's folder, not where this command was run.
        state, directory = Path(self["state-dir"]).absolute(), Path(self["directory"])
        files, shared = state / "file-storage", state / "shared-file-storage"
        settings = joining.agent_settings(self["address"], self["port"], state, self["hypervisor"])
        node = NodePlan(
            name=self["node"],
            address=self["address"],
            port=self["port"],
            directory=directory,
            settings=settings,
        )
        plan = ClusterPlan(
            name=self["cluster"],
            directory=directory,
            store=state / "state.db",
            nodes=[node],
            settings=store_settings(state / "state.db", self["etcd"]) + section,
            floating=floating,
            hypervisor=self["hypervisor"],
            bridge=self["bridge"],
            file_storage_dir=str(files),
            shared_file_storage_dir=str(shared),
        )
        found(plan)
        return self._fill if self["etcd"] else self._founded()

    async def _fill(self, reactor: Any) -> int:
        await fill_new_etcd(Path(self["directory"]) / "rapi.toml", reactor)
        return self._founded()

    def _founded(self) -> int:
        directory = self["directory"]
        say_out(f"The cluster {self['cluster']} is founded; its configuration is in {directory}.")
        say_out("Next: rapi-admin user add --write NAME, rapi-admin check, then start rapi-agent and rapi.")
        return 0


class Check(Command):
    """``check``: whether this machine is set up well."""

    longdesc = "Look at configuration, certificates, store, users, libvirt and OS definitions."
    optParameters = [["directory", None, CONFIG, "Folder of the configuration."]]

    def run(self) -> int | Work:
        """Do it; 1 when there is a problem."""
        store = etcd_of(Path(self["directory"]))
        return self._tell(None) if store is None else lambda reactor: self._look(store, reactor)

    async def _look(self, store: StoreSection, reactor: Any) -> int:
        looked = await look_at_etcd(store, reactor)
        return await deferToThreadPool(reactor, reactor.getThreadPool(), self._tell, looked)

    def _tell(self, looked: Looked | None) -> int:
        problems = 0
        for finding in check_all(Path(self["directory"]), looked):
            mark = "OK     " if finding.good else "PROBLEM"
            say_out(f"{mark} {finding.what}: {finding.text}")
            problems += not finding.good
        return 1 if problems else 0


class Options(Command):
    """``rapi-admin``."""

    synopsis = "COMMAND [options]"
    subCommands = [
        ["init", None, Init, "Found a cluster."],
        ["join-token", None, JoinToken, "Make a token for a new node."],
        ["join", None, Join, "Make this machine a node."],
        ["user", None, User, "Add, remove and list users."],
        ["token", None, TokenCommand, "Add, remove and list tokens of PVC's API."],
        ["backup", None, Backup, "Copy the store to a file while it is in use."],
        ["restore", None, Restore, "Make the store what a backup says."],
        ["store", None, Store, "Move the cluster from one store into another."],
        ["node", None, Node, "Show what has become of a node, or confirm that it is dead."],
        ["failover", None, Failover, "Hand the mastership to another candidate."],
        ["etcd", None, Etcd, "Show, remove and add members of etcd."],
        ["etcd-certificates", None, EtcdCertificates, "Make certificates for etcd and its clients."],
        ["domain-secret", None, DomainSecret, "Show or change what clusters share to move instances."],
        ["api-certificate", None, ApiCertificate, "Make a candidate's certificate for the API."],
        ["check", None, Check, "Find out what is wrong, and how to mend it."],
    ]

    def run(self) -> int | Work:
        """Do what was named."""
        return run_sub(self)


def run(arguments: Sequence[str], say: Callable[[str], None]) -> int | Work:
    """
    Do what the arguments say, and tell what was wrong.

    :returns: the exit status, or what is left to do on the network, which answers it.
    """
    options = Options()
    try:
        options.parseOptions(list(arguments))
        outcome = options.run()
    except _TOLD as e:
        return _status_of(e, say)
    return outcome if isinstance(outcome, int) else telling(outcome, say)


def telling(work: Work, say: Callable[[str], None]) -> Work:
    """The work, with what goes wrong in it being told, too."""

    async def told(reactor: Any) -> int:
        try:
            return await work(reactor)
        except _TOLD as e:
            return _status_of(e, say)

    return told


def _status_of(error: Exception, say: Callable[[str], None]) -> int:
    if isinstance(error, CancelledError):
        say("rapi-admin: interrupted")
        return INTERRUPTED
    say(f"rapi-admin: {error}")
    return 2 if isinstance(error, usage.UsageError) else 1


def on_network(reactor: Any, work: Work) -> Deferred[None]:
    """Do the work; the process ends with its status.  A signal makes it give back what it holds first."""

    async def end() -> None:
        raise SystemExit(await work(reactor))

    ended = Deferred.fromCoroutine(end())

    def interrupt() -> Deferred[None]:
        ended.cancel()
        return ended

    reactor.addSystemEventTrigger("before", "shutdown", interrupt)
    return ended


def main() -> NoReturn:
    """The console script: the one place where commands get the reactor, by Twisted's `react`."""
    outcome = run(sys.argv[1:], lambda text: print(text, file=sys.stderr))
    if isinstance(outcome, int):
        sys.exit(outcome)
    react(on_network, (outcome,))
