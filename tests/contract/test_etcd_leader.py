"""Etcd's leader leaves a machine; with three real members."""

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.requirements import missing
from twisted_rapi.state.etcd_asking import Asker
from twisted_rapi.state.etcd_gateway import connect
from twisted_rapi.state.etcd_leader import Local, move_leader, of_hosts
from twisted_rapi.testing.etcd import EtcdCluster, Member

any_reactor: Any = reactor
SECONDS = 10.0


def of(member: Member) -> Local:
    """URLs of this member."""
    return lambda url: f":{member.client}" in url


class LeaderTests(TestCase):
    """Members are told apart by their ports: all are on this machine."""

    skip = missing("etcd")
    timeout = 120

    def setUp(self) -> None:
        self.etcd = EtcdCluster(Path(self.mktemp()).resolve())
        self.addCleanup(self.etcd.remove)
        self.etcd.set_up()
        self.etcd.start()
        self.gateway, end = connect(any_reactor, self.etcd.endpoints, self.etcd.keys)
        self.addCleanup(end)
        self.asker = Asker(self.gateway, any_reactor, SECONDS)

    async def test_moved(self) -> None:
        """A leader of this machine hands over to a member of another one; then nothing is done."""
        leader = self.etcd.leader()
        self.assertTrue(await move_leader(self.asker, of(leader)))
        self.assertIsNot(self.etcd.leader(), leader)
        self.assertFalse(await move_leader(self.asker, of(leader)))

    async def test_away_already(self) -> None:
        """A leader elsewhere stays where it is, and so does one that nobody could follow."""
        leader = self.etcd.leader()
        self.assertFalse(await move_leader(self.asker, of_hosts("192.0.2.1")))
        self.assertFalse(await move_leader(self.asker, of_hosts("127.0.0.1")))
        self.assertIs(self.etcd.leader(), leader)

    async def test_silent(self) -> None:
        """A member that does not answer is passed over, also when it is asked first."""
        leader = self.etcd.leader()
        others = [member for member in self.etcd.members if member is not leader]
        others[0].kill()
        while str(others[0].client) not in self.gateway.member():
            self.gateway.avoid(self.gateway.member())
        self.assertTrue(await move_leader(self.asker, of(leader)))
        self.assertIs(self.etcd.leader(), others[1])
