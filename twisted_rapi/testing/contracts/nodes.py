"""What every `INodes` does."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_rapi.errors import NodeUnreachable, StepFailed
from twisted_rapi.model.steps import DomainSpec, SetMemory, StartDomain, StopDomain
from twisted_rapi.rpc.interface import INodes

if TYPE_CHECKING:
    _Base = SynchronousTestCase
else:
    _Base = object


class NodesContract(_Base):
    """Mixed into a test case that makes nodes ``a`` and ``b``, both up, with `make`."""

    def make(self) -> INodes:
        """The nodes."""
        raise NotImplementedError

    def down(self, node: str) -> None:
        """Take a node down, until the master has noticed."""
        raise NotImplementedError

    def up(self, node: str) -> None:
        """Bring it up, until the master has noticed."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make the nodes, and collect what observers are told."""
        self.nodes = self.make()
        self.told: list[str] = []
        self.end = self.nodes.observe(self.told.append)

    def done(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What `work` answers."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fails(self, kind: type[Exception], work: Coroutine[Any, Any, Any]) -> Any:
        """The error of this kind that `work` raises."""
        return self.failureResultOf(Deferred.fromCoroutine(work), kind).value

    def start(self) -> StartDomain:
        """A step that starts a machine."""
        domain = DomainSpec(name="i1", instance_uuid="u1", hypervisor="fake", memory=64, minmem=64, vcpus=1)
        return StartDomain(instance="i1", domain=domain)

    def test_interface(self) -> None:
        """It provides the interface."""
        verifyObject(INodes, self.nodes)

    def test_perform(self) -> None:
        """A step is carried out on its node and no other, and shows in its report; observers are told."""
        outcome = self.done(self.nodes.perform("a", self.start()))
        self.assertEqual(self.nodes.reports["a"].domains["i1"].boot, outcome.boot)
        self.assertEqual(self.nodes.reports["b"].domains, {})
        self.assertEqual(set(self.told), {"a"})
        stop = StopDomain(instance="i1", hypervisor="fake", instance_uuid="u1", timeout=0)
        self.done(self.nodes.perform("a", stop))
        self.assertEqual(self.nodes.reports["a"].domains, {})

    def test_failure(self) -> None:
        """A step's failure arrives as it is."""
        self.plant("a")
        step = SetMemory(instance="i1", hypervisor="fake", instance_uuid="u1", memory=1)
        self.assertEqual(self.fails(StepFailed, self.nodes.perform("a", step)).kind, "hypervisor")

    def plant(self, node: str) -> None:
        """See to it that memory cannot be set there; so it is for a machine that does not run."""

    def test_unknown(self) -> None:
        """A node nobody knows is not reached, has no age and no report."""
        self.fails(NodeUnreachable, self.nodes.perform("c", self.start()))
        self.assertIsNone(self.nodes.age("c"))
        self.assertNotIn("c", self.nodes.reports)

    def test_down(self) -> None:
        """A node that is down has no report and is not reached; another one is, as before."""
        self.down("a")
        self.assertEqual(list(self.nodes.reports), ["b"])
        self.assertIn("a", self.told)
        self.fails(NodeUnreachable, self.nodes.perform("a", self.start()))
        self.done(self.nodes.perform("b", self.start()))
        self.assertIsNotNone(self.nodes.age("b"))

    def test_back(self) -> None:
        """A node that comes back has a report, is reached, and observers are told."""
        self.down("a")
        self.told.clear()
        self.up("a")
        self.assertIn("a", self.told)
        self.assertEqual(set(self.nodes.reports), {"a", "b"})
        self.done(self.nodes.perform("a", self.start()))

    def test_observing_ends(self) -> None:
        """An observer that ended is told nothing, others still are."""
        other: list[str] = []
        self.nodes.observe(other.append)
        self.end()
        self.done(self.nodes.perform("a", self.start()))
        self.assertEqual((self.told, set(other)), ([], {"a"}))
