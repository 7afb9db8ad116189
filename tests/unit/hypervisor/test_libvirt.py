"""The connection to libvirt: lost, late and found again; with a libvirt that is held by the test."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import missing
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.seen import DomainSeen

UUID = "5a1e6a0e-94a2-4b2c-8d6f-0d6f6f6b1c11"


class HeldPool:
    """A thread pool whose work is done when the test says; at once while `held` is false."""

    def __init__(self) -> None:
        self.held = False
        self.waiting: list[Callable[[], None]] = []

    def start(self) -> None:
        """Nothing to start."""

    stop = start

    def callInThreadWithCallback(self, told: Callable[[bool, Any], None], work: Any, *args: Any) -> None:
        """See `twisted.python.threadpool.ThreadPool`."""

        def do() -> None:
            try:
                result = work(*args)
            except Exception:  # noqa: BLE001 -- as a thread pool does
                told(False, Failure())
            else:
                told(True, result)

        if self.held:
            self.waiting.append(do)
        else:
            do()

    def go_on(self) -> None:
        """Do what waits, and hold no more."""
        self.held = False
        waiting, self.waiting = self.waiting, []
        for do in waiting:
            do()


class Reactor(Clock):
    """A clock that is given calls from threads."""

    def callFromThread(self, work: Callable[..., None], *args: Any) -> None:
        """See `twisted.internet.interfaces.IReactorFromThreads`."""
        work(*args)


class Domain:
    """A guest that hears the button and takes its time."""

    def __init__(self) -> None:
        self.active, self.defined, self.asked, self.id = True, True, 0, 7

    def info(self) -> tuple[int, int, int, int, int]:
        return (1 if self.active else 5, 0, 131072, 1, 0)

    def isActive(self) -> int:
        return int(self.active)

    def isPersistent(self) -> int:
        return int(self.defined)

    def ID(self) -> int:
        return self.id

    def name(self) -> str:
        return "inst1"

    def UUIDString(self) -> str:
        return UUID

    def XMLDesc(self, flags: int) -> str:
        return "<domain/>"

    def shutdown(self) -> None:
        self.asked += 1

    def destroy(self) -> None:
        self.active = False

    def undefineFlags(self, flags: int) -> None:
        self.defined = False


class Connection:
    """One connection to a libvirt that has one domain."""

    def __init__(self, domain: Domain) -> None:
        self.domain, self.open, self.callbacks = domain, True, 0
        self.closed: Any = None

    def registerCloseCallback(self, closed: Any, opaque: object) -> None:
        self.closed = closed

    def unregisterCloseCallback(self) -> None:
        self.closed = None

    def setKeepAlive(self, interval: int, count: int) -> None:
        pass

    def domainEventRegisterAny(self, domain: object, event: int, told: Any, opaque: object) -> int:
        self.callbacks += 1
        return 3

    def domainEventDeregisterAny(self, callback: int) -> None:
        self.callbacks -= 1

    def close(self) -> None:
        self.open = False

    def listAllDomains(self) -> list[Domain]:
        return [self.domain] if self.domain.defined else []

    def lookupByUUIDString(self, uuid: str) -> Domain:
        if not self.domain.defined:
            import libvirt

            error = libvirt.libvirtError("none")
            error.err = (libvirt.VIR_ERR_NO_DOMAIN, 10, "none", 1, "", "", "", 0, 0)
            raise error
        return self.domain


class LinkTests(SynchronousTestCase):
    """`LibvirtHypervisor` over a connection that goes away and comes late."""

    skip = missing("module:libvirt")

    def setUp(self) -> None:
        from twisted_rapi.hypervisor.libvirt import LibvirtHypervisor

        self.reactor, self.pool, self.domain = Reactor(), HeldPool(), Domain()
        self.connections: list[Connection] = []
        self.hypervisor = LibvirtHypervisor(
            "qemu:///system", self.reactor, pool=self.pool, connect=self.connect
        )
        self.told: list[tuple[str, DomainSeen | None]] = []
        self.hypervisor.observe(lambda name, seen: self.told.append((name, seen)))

    def connect(self, uri: str) -> Connection:
        self.connections.append(Connection(self.domain))
        return self.connections[-1]

    def begin(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.hypervisor.start_service()))

    def stopping(self, timeout: float = 120) -> "Deferred[None]":
        d = Deferred.fromCoroutine(self.hypervisor.stop(UUID, timeout))
        self.assertNoResult(d)
        self.assertEqual(self.domain.asked, 1)
        return d

    def lose(self) -> None:
        self.connections[-1].closed(self.connections[-1], 0, None)

    def test_late(self) -> None:
        """A connection that comes after its deadline is closed again, its callback removed."""
        self.pool.held = True
        starting = Deferred.fromCoroutine(self.hypervisor.start_service())
        self.reactor.advance(20)
        self.assertEqual(self.connections, [])
        self.pool.go_on()
        self.successResultOf(starting)
        [late] = self.connections
        self.assertEqual((late.open, late.callbacks), (False, 0))
        self.reactor.advance(2)
        self.assertEqual([c.open for c in self.connections], [False, True])

    def test_ended_meanwhile(self) -> None:
        """A connection that comes when nobody wants one any more is closed."""
        self.pool.held = True
        starting = Deferred.fromCoroutine(self.hypervisor.start_service())
        self.successResultOf(Deferred.fromCoroutine(self.hypervisor.stop_service()))
        self.pool.go_on()
        self.successResultOf(starting)
        self.assertEqual([(c.open, c.callbacks) for c in self.connections], [(False, 0)])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_lost(self) -> None:
        """A soft stop does not wait for its timeout when the connection is lost and does not come back."""
        self.begin()
        stopping = self.stopping()
        self.pool.held = True
        self.lose()
        self.reactor.advance(9.9)
        self.assertNoResult(stopping)
        self.reactor.advance(0.1)
        self.assertIn("connection to libvirt was lost", self.failureResultOf(stopping, StepFailed).value.text)

    def test_found_again(self) -> None:
        """A soft stop goes on when the connection comes back: the guest is down by then, or later."""
        self.begin()
        stopping = self.stopping()
        self.lose()
        self.reactor.advance(2)
        self.assertNoResult(stopping)
        self.reactor.advance(60)
        self.assertNoResult(stopping)
        self.lose()
        self.domain.active = False
        self.reactor.advance(2)
        self.successResultOf(stopping)
        self.assertEqual(self.domain.asked, 1)
        self.assertEqual((self.domain.defined, self.told[-1]), (False, ("inst1", None)))

    def test_useless(self) -> None:
        """A connection over which nothing can be seen is closed, and another one is made."""
        self.begin()
        self.lose()
        self.domain.info = None  # type: ignore[assignment, method-assign]
        broken = self.connections[0]

        def fails() -> list[Domain]:
            import libvirt

            raise libvirt.libvirtError("cannot")

        made: list[Connection] = []

        def connect(uri: str) -> Connection:
            made.append(Connection(self.domain))
            made[-1].listAllDomains = fails if len(made) == 1 else list  # type: ignore[method-assign]
            return made[-1]

        self.hypervisor._link._connect_to = connect
        self.reactor.advance(2)
        self.reactor.advance(2)
        self.assertEqual([c.open for c in made], [False, True])
        self.assertIsNot(broken, made[0])

    def test_another_boot(self) -> None:
        """A guest that was started anew while its stop waited is left alone by a stop of the old boot."""
        self.begin()
        boot = self.successResultOf(Deferred.fromCoroutine(self.hypervisor.domains()))["inst1"].boot
        stopping = Deferred.fromCoroutine(self.hypervisor.stop(UUID, 10, boot=boot))
        self.assertNoResult(stopping)
        self.domain.id = 8
        self.reactor.advance(10)
        self.successResultOf(stopping)
        self.assertEqual((self.domain.active, self.domain.defined), (True, True))

    def test_observer_twice(self) -> None:
        """An observer can be removed again and again."""
        end = self.hypervisor.observe(lambda *_: None)
        end()
        end()
