"""Tests of `twisted_rapi.alike` and `twisted_rapi.presenting`."""

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.alike import ALIKE, digests, settings_alike, settings_of_further, unlike
from twisted_rapi.config import Config
from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.presenting import ShownAlike, digested_of
from twisted_rapi.sharing import SharedFiles
from twisted_rapi.testing.file_watch import LookedAt

CLUSTER = "4f8e2a56-0000-4000-8000-000000000001"
ENDPOINTS = ["https://127.0.0.1:2379", "https://192.0.2.2:2379", "https://192.0.2.3:2379"]
OWN = {
    *("node", "api.listen", "api.certificate", "api.key", "api.users", "proxy.listen", "metrics.listen"),
    *("rpc.authority", "rpc.certificate", "rpc.key", "authority.key", "address.interface"),
    *("store.path", "store.authority", "store.certificate", "store.key", "log.file", "log.level"),
    *("pvc.tokens", "death.fencing"),
}
"""The settings that are a machine's own."""


def config(**sections: Any) -> Config:
    """A configuration of node1."""
    store = {"kind": "etcd", "endpoints": ENDPOINTS, **sections.pop("store", {})}
    return msgspec.convert({"node": "node1", "store": store, **sections}, Config)


class AlikeTests(SynchronousTestCase):
    """What is the cluster's is compared; what is a machine's is not."""

    def test_all_settings(self) -> None:
        """Of every setting there is it is known whether it is the cluster's or a machine's."""
        found = set[str]()
        for name, value in msgspec.structs.asdict(config()).items():
            fields = value.__struct_fields__ if isinstance(value, msgspec.Struct) else ()
            found |= {f"{name}.{field}" for field in fields} or {name}
        alike = {f"{section}.{name}" for section, names in ALIKE.items() for name in names}
        self.assertEqual(found - alike, OWN)
        self.assertEqual(alike - found, set())

    others: dict[str, str] = {}

    def digests(self, users: str = "", at: str = "192.0.2.1", **sections: Any) -> dict[str, str]:
        return digests(config(**sections), at, users, self.others, CLUSTER)

    def test_same(self) -> None:
        """Machines differ in order and place of endpoints, in listeners, in comments of users."""
        there = self.digests(
            "# ours\nb secret read,write\na {argon2}x  write",
            "192.0.2.2",
            store={"endpoints": ["https://localhost:2379", ENDPOINTS[2], "https://192.0.2.1:2379"]},
            api={"listen": "192.0.2.2:5080"},
            address={"interface": "eth7"},
        )
        here = self.digests("a {argon2}x write\nb secret write,read\n")
        self.assertEqual(unlike(here, there), [])

    def test_unlike(self) -> None:
        """What differs is named; what only one of them knows is not."""
        here = self.digests("a secret write")
        self.assertEqual(unlike(here, self.digests("a secret")), ["users"])
        self.assertEqual(unlike(here, self.digests("a Secret write")), ["users"])
        self.assertEqual(unlike(here, self.digests("a secret write", store={"lease": 5})), ["[store]"])
        there = self.digests("", death={"silence": 60.0}, address={"mode": "follow", "ip": "192.0.2.9"})
        self.assertEqual(unlike(here, there), ["[address]", "[death]", "users"])
        self.assertEqual(unlike(here, {"users": here["users"], "new": "x"}), [])

    def test_users_hidden(self) -> None:
        """The digest of the users is another one in each cluster, and has no part of their secrets."""
        here = self.digests("a secret write")["users"]
        other = digests(config(), "192.0.2.1", "a secret write", {}, "another")["users"]
        self.assertNotEqual(here, other)
        self.assertRegex(here, "^[0-9a-f]{32}$")

    def test_others(self) -> None:
        """Tokens and how nodes are fenced are compared, too, passwords among it; nothing is shown of them."""
        here = self.digests()
        self.others = {"pvc-tokens": "{sha256}a$b", "fencing.toml": "[nodes]", "password/ipmi": "secret"}
        there = self.digests()
        self.assertEqual(unlike(here, there), ["fencing", "tokens"])
        self.assertRegex(there["fencing"] + there["tokens"], "^[0-9a-f]{64}$")
        self.others = {**self.others, "password/ipmi": "other"}
        self.assertEqual(unlike(there, self.digests()), ["fencing"])

    def test_further(self) -> None:
        """A further candidate asks its own member first, and listens as the first one does."""
        first = config(
            api={"listen": "192.0.2.1:5080", "require_authentication": True},
            proxy={"listen": ""},
            address={"mode": "own", "ip": "192.0.2.9/24", "interface": "eth0"},
            death={"silence": 40.0},
        )
        found = settings_of_further(first, "192.0.2.1", "192.0.2.3")
        self.assertEqual(
            found["store"]["endpoints"],
            ["https://192.0.2.3:2379", "https://192.0.2.1:2379", "https://192.0.2.2:2379"],
        )
        listeners = [found[name]["listen"] for name in ("api", "proxy", "metrics")]
        self.assertEqual(listeners, ["192.0.2.3:5080", "", "127.0.0.1:5081"])
        self.assertEqual(settings_of_further(config(), "192.0.2.1", "::2")["api"]["listen"], "[::]:5080")
        six = settings_of_further(config(api={"listen": "[2001:db8::1]:5080"}), "192.0.2.1", "2001:db8::2")
        self.assertEqual(six["api"]["listen"], "[2001:db8::2]:5080")
        further = msgspec.convert({"node": "node3", **found}, Config)
        self.assertEqual(settings_alike(further, "192.0.2.3"), settings_alike(first, "192.0.2.1"))
        self.assertEqual(further.address.interface, "eth0")

    @given(st.dictionaries(st.sampled_from("abcd"), st.sampled_from("wxyz")))
    def test_like_itself(self, found: dict[str, str]) -> None:
        """Nothing differs from itself, nor from what does not say."""
        self.assertEqual((unlike(found, found), unlike(found, {})), ([], []))


class _Presence:
    """What a candidate shows."""

    def __init__(self) -> None:
        self.record = CandidateRecord(uuid="n", since=1.0, version="1")

    def update(self, record: CandidateRecord) -> None:
        """Show another one."""
        self.record = record


class _Users:
    """Users that can be changed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.told: Any = None

    def change(self, text: str) -> None:
        """The file has changed."""
        self.text = text
        self.told(text)


class ShownTests(SynchronousTestCase):
    """What a candidate shows is of the files it has."""

    def setUp(self) -> None:
        self.waiting: list[Deferred[None]] = []
        folder = Path(self.mktemp())
        folder.mkdir()
        self.files, self.watch = SharedFiles.below(folder), LookedAt()
        self.presence, self.users = _Presence(), _Users("a x")
        digested = partial(digested_of, config(), "192.0.2.1", CLUSTER)
        shown: tuple[Any, Any] = (self.presence, self.users)
        service = ShownAlike(*shown, self.files, digested, self.in_thread, self.watch)
        service.startService()
        self.addCleanup(service.stopService)

    def in_thread(self, work: Any, *args: Any) -> Deferred[Any]:
        """Done when the test says so."""
        self.waiting.append(Deferred())
        return self.waiting[-1].addCallback(lambda _: work(*args))

    def expect(self, users: str, **others: str) -> None:
        """What is shown is of these."""
        found = digests(config(), "192.0.2.1", users, others, CLUSTER)
        self.assertEqual(self.presence.record.alike, found)

    def test_order(self) -> None:
        """What is computed late of users that have changed since is not shown."""
        self.users.change("a y")
        self.waiting[1].callback(None)
        self.waiting[0].callback(None)
        self.expect("a y")

    def test_other_file(self) -> None:
        """Another file that changes is looked at, too."""
        self.waiting[0].callback(None)
        self.expect("a x")
        self.files.tokens.write_text("t")
        self.watch.look()
        self.waiting[1].callback(None)
        self.expect("a x", **{"pvc-tokens": "t"})
