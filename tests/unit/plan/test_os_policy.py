"""Which OS definitions may be used and are shown, and what the cluster adds to their parameters."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.opcodes import from_wire
from twisted_rapi.model.steps import RunOs, VerifyOs
from twisted_rapi.plan.info import os_row, usable_oses
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import Ended, World
from twisted_rapi.web.rapi.cluster import os_names


class OsCase(SynchronousTestCase):
    """Has a world whose nodes have the OS ``noop`` with the variants ``default`` and ``alt``."""

    def setUp(self) -> None:
        self.world = World()

    def policy(self, **values: Any) -> None:
        """The cluster has these settings."""
        self.world.put(replace(self.world.cluster, **values))

    def create(self, os: str = "noop+default", **more: Any) -> Ended:
        """How the making of an instance ended."""
        values = {"instance_name": "web.example.com", "mode": "create", "pnode": "node1", **more}
        op = {
            "OP_ID": "OP_INSTANCE_CREATE",
            "disks": [{"size": 64}],
            "nics": [{}],
            "pnode": "node1",
            **values,
        }
        return self.world.run(from_wire({**op, "disk_template": "file", "os_type": os, "start": False}))

    def reinstall(self, **more: Any) -> Ended:
        """How a reinstallation ended."""
        return self.world.run(from_wire({"OP_ID": "OP_INSTANCE_REINSTALL", "instance_name": "web", **more}))

    def given(self, kind: Any) -> dict[str, Any]:
        """The parameters the last such step had."""
        step = [s for s in self.world.nodes.nodes[NODES[0]].done if isinstance(s, kind)][-1]
        found: dict[str, Any] = step.domain.osparams if isinstance(step, RunOs) else step.osparams
        return found


class VisibilityTests(OsCase):
    """Hidden and blacklisted definitions."""

    def test_hidden(self) -> None:
        """A hidden definition, or variant, is not listed but may be used."""
        self.policy(hidden_os=("noop+alt",))
        self.assertEqual(os_names(self.world.view()), ["noop+default"])
        self.policy(hidden_os=("noop",))
        self.assertEqual(os_names(self.world.view()), [])
        self.assertIsNone(self.create().error)

    def test_blacklisted(self) -> None:
        """A blacklisted definition, or variant, is neither listed nor used; others are."""
        self.policy(blacklisted_os=("noop+alt",))
        self.assertEqual(os_names(self.world.view()), ["noop+default"])
        error = self.create("noop+alt").error
        assert error is not None
        self.assertEqual((type(error).__name__, error.code), ("OpPrereqError", "wrong_state"))
        self.assertIn("noop+alt", error.text)
        self.assertIsNone(self.create("noop+default").error)
        self.policy(blacklisted_os=("noop",))
        again = self.reinstall().error
        assert again is not None
        self.assertEqual(again.code, "wrong_state")

    def test_reinstalled_with_another(self) -> None:
        """What counts is the definition the instance is to have."""
        self.create("noop+default")
        self.policy(blacklisted_os=("noop+default",))
        self.assertIsNotNone(self.reinstall().error)
        self.assertIsNone(self.reinstall(os_type="noop+alt").error)

    def test_diagnosed(self) -> None:
        """The diagnosis tells of both."""
        self.policy(hidden_os=("noop",), blacklisted_os=("noop",))
        view = self.world.view()
        row = os_row(view, "noop", usable_oses(view)["noop"])
        self.assertEqual((row["hidden"], row["blacklisted"], row["valid"]), (True, True, True))


class ParameterTests(OsCase):
    """Parameters of the cluster for an OS."""

    def test_layers(self) -> None:
        """Those of the OS, then of the variant, then of the instance; scripts have the private ones too."""
        self.policy(
            osparams={"noop": {"dhcp": "a"}, "noop+alt": {"dhcp": "b"}},
            osparams_private={"noop": {"pw": "1", "key": "2"}, "noop+alt": {"pw": "3"}},
        )
        self.assertIsNone(self.create("noop+alt").error)
        self.assertEqual(self.given(RunOs), {"dhcp": "b", "pw": "3", "key": "2"})
        self.assertEqual(self.given(VerifyOs), {"dhcp": "b", "pw": "3", "key": "2"})
        record = self.world.instance("web.example.com")
        self.assertEqual((record.osparams, record.osparams_private), ({}, {}))

    def test_own(self) -> None:
        """The instance's own values win, also at a reinstallation."""
        self.policy(osparams={"noop": {"dhcp": "a"}}, osparams_private={"noop": {"pw": "1"}})
        self.create(osparams={"dhcp": "own"})
        self.assertEqual(self.given(RunOs), {"dhcp": "own", "pw": "1"})
        self.reinstall(osparams={"dhcp": "newer"})
        self.assertEqual(self.given(RunOs), {"dhcp": "newer", "pw": "1"})

    def test_variant(self) -> None:
        """Parameters of another OS or variant do not count."""
        self.policy(osparams={"other": {"dhcp": "x"}, "noop+alt": {"dhcp": "y"}})
        self.create("noop+default")
        self.assertEqual(self.given(RunOs), {})
