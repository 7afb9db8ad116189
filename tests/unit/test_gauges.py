"""Tests of `twisted_rapi.gauges`."""

from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Browser
from twisted_rapi.addressing import Addressing
from twisted_rapi.config import AddressSection
from twisted_rapi.gauges import Gauges
from twisted_rapi.observe.metrics import Metrics


class GaugesTests(SynchronousTestCase):
    """A cluster in memory with an address that nobody has yet."""

    def shown(self, term: int | None, section: AddressSection) -> list[str]:
        """What metrics say."""
        browser = Browser(Path(self.mktemp()))
        cluster: Any = browser.cluster
        if term is None:
            browser.resource.api = None
        metrics = Metrics()
        gauges = Gauges(Addressing(section, 3, Clock()), lambda: term)
        gauges.term = None if term is None else (cluster.table, cluster.executor)
        gauges.add_to(metrics, cluster.snapshot, cluster.nodes, browser.resource)
        return generate_latest(metrics.registry).decode().splitlines()

    def test_master(self) -> None:
        """A master shows its term, its nodes, and whether it has the address."""
        lines = self.shown(1, AddressSection(mode="own", ip="192.0.2.9/24", interface="eth0"))
        for line in (
            'rapi_master{what="term"} 1.0',
            'rapi_master{what="here"} 1.0',
            'rapi_address{what="here"} 0.0',
            'rapi_address{what="seconds"} 0.0',
            'rapi_address{what="conflicts"} 0.0',
            'rapi_nodes{what="known"} 3.0',
            'rapi_watchdog{what="down"} 0.0',
        ):
            self.assertIn(line, lines)

    def test_candidate(self) -> None:
        """One that is not master knows the term; without a floating address nothing is said of it."""
        lines = self.shown(None, AddressSection())
        self.assertIn('rapi_master{what="here"} 0.0', lines)
        self.assertEqual([line for line in lines if line.startswith(("rapi_address{", "rapi_jobs{"))], [])
