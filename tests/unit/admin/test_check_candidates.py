"""Tests of `twisted_rapi.admin.check_candidates` and of what is made of etcd's list of members."""

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi import __version__
from twisted_rapi.admin.check_candidates import check_candidates
from twisted_rapi.admin.check_etcd import Looked, strange_members
from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.model.records import NodeRecord

ALIKE = {"users": "1", "[store]": "2"}


def node(n: int, **values: Any) -> NodeRecord:
    """A node that may be master unless it is said otherwise."""
    given = {"master_candidate": True, **values}
    address = f"192.0.2.{n}"
    return NodeRecord(
        uuid=f"u{n}",
        name=f"node{n}",
        group="g",
        primary_ip=address,
        secondary_ip=address,
        agent_host=address,
        agent_port=1811,
        **given,
    )


def candidate(n: int, version: str = __version__, **alike: str) -> CandidateRecord:
    """A daemon that runs."""
    return CandidateRecord(uuid=f"u{n}", since=1.0, version=version, alike={**ALIKE, **alike})


class CandidatesTests(SynchronousTestCase):
    """Each thing that would keep another candidate from following, or make a difference, is a problem."""

    def setUp(self) -> None:
        self.looked = Looked(
            {}, {}, nodes=[node(1), node(2), node(3)], candidates=[candidate(1), candidate(2)], master="u1"
        )

    def found(self, here: str = "node1", **changes: Any) -> dict[str, str]:
        """What is a problem, and the text of it."""
        looked = attrs.evolve(self.looked, **changes)
        return {what: text for what, good, text in check_candidates(here, looked, ALIKE) if not good}

    def test_well(self) -> None:
        """Two that run and agree are well, seen from each of them, and from one that does not run."""
        for here in ("node1", "node2", "node3"):
            self.assertEqual(self.found(here), {})
        lines = {what: text for what, _, text in check_candidates("node1", self.looked, ALIKE)}
        self.assertEqual(lines["master"], "node1")
        self.assertEqual(lines["candidates"], "rapi runs on node1, node2; not on node3")

    def test_none(self) -> None:
        """A cluster that does not run is not broken."""
        self.assertEqual(self.found(candidates=(), master=""), {})

    def test_alone(self) -> None:
        """One candidate is followed by nobody; neither are two of which one may not be master."""
        self.assertIn("nobody follows", self.found(candidates=[candidate(1)])["candidates"])
        for flag in ("offline", "drained"):
            found = self.found(nodes=[node(1), node(2, **{flag: True})])
            self.assertEqual(set(found), {"candidates", "candidate node2"})
        self.assertIn("candidate node2", self.found(nodes=[node(1), node(2, master_candidate=False)]))

    def test_no_master(self) -> None:
        """Candidates of which none is master are a problem."""
        self.assertEqual(set(self.found(master="")), {"master"})

    def test_removed(self) -> None:
        """The daemon of a node that was removed counts for nothing."""
        self.assertEqual(set(self.found(nodes=[node(1)])), {"candidates"})

    def test_version(self) -> None:
        """A candidate of another release is told of."""
        self.assertIn("0.0", self.found(candidates=[candidate(1), candidate(2, "0.0")])["candidate node2"])

    def test_differences(self) -> None:
        """The master is compared with all, others with the master; each difference is named."""
        other = [candidate(1), candidate(2, users="x"), candidate(3, users="y")]
        found = self.found(candidates=other)
        self.assertEqual(set(found), {"files alike with node2", "files alike with node3"})
        self.assertIn("users are not as there", found["files alike with node2"])
        self.assertEqual(self.found("node4", candidates=other), {})
        other[0] = candidate(1, **{"[store]": "x"})
        self.assertEqual(set(self.found("node4", candidates=other)), {"files alike with node1, the master"})

    def test_restart(self) -> None:
        """What the daemon has not read yet is told of on its own machine."""
        found = self.found(candidates=[candidate(1, **{"[store]": "old"}), candidate(2)])
        self.assertIn("[store] changed after it began", found["configuration in use"])


class MembersTests(SynchronousTestCase):
    """What is odd about etcd's list of its members."""

    def members(self, *numbers: int) -> list[dict[str, object]]:
        urls = {n: [f"https://192.0.2.{n}:2379"] for n in numbers}
        return [{"ID": str(n), "name": f"node{n}", "clientURLs": urls[n]} for n in numbers]

    def test_well(self) -> None:
        """All are known, one of them by its loopback."""
        endpoints = ["https://127.0.0.1:2379", "https://192.0.2.2:2379", "https://192.0.2.3:2379"]
        self.assertEqual([*strange_members(self.members(1, 2, 3), endpoints)], [])

    def test_unknown(self) -> None:
        """One that is in nobody's configuration is named."""
        endpoints = ["https://192.0.2.1:2379", "https://192.0.2.2:2379"]
        [told] = strange_members(self.members(1, 2, 3), endpoints)
        self.assertIn("node3 not in 'endpoints'", told)

    def test_few(self) -> None:
        """Less than three survive nothing."""
        endpoints = ["https://192.0.2.1:2379", "https://192.0.2.2:2379"]
        [told] = strange_members(self.members(1, 2), endpoints)
        self.assertIn("there are 2", told)

    def test_never_began(self) -> None:
        """One that was added and not started has no name."""
        endpoints = [f"https://192.0.2.{n}:2379" for n in (1, 2)]
        added = {"ID": "9", "peerURLs": ["https://192.0.2.4:2380"]}
        [told] = strange_members([*self.members(1, 2), added], endpoints)
        self.assertIn("https://192.0.2.4:2380 was added and never began", told)
