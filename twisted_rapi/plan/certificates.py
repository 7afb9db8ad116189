"""Whether certificates that are in use go on to be good."""

from collections.abc import Iterable

from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.seen import CertificateSeen
from twisted_rapi.plan.findings import Finding, Findings
from twisted_rapi.plan.view import View

DAY = 86400.0
SOON = 30 * DAY  # then it is told
URGENT = 7 * DAY  # then it is an error


def of_master(view: View) -> Findings:
    """Those of the master's daemon and of the cluster's authority."""
    for seen in view.certificates:
        yield from _judged(view, seen, "ECLUSTERCERT", "cluster", "")


def of_nodes(view: View, nodes: Iterable[NodeRecord]) -> Findings:
    """Those of agents, and the authority as they know it."""
    for node in nodes:
        report = view.reports.get(node.uuid)
        for seen in () if report is None or node.offline else report.certificates:
            code = "ECLUSTERCERT" if seen.role == "authority" else "ECLUSTERCLIENTCERT"
            yield from _judged(view, seen, code, "node", node.name)


def _judged(view: View, seen: CertificateSeen, code: str, kind: str, item: str) -> Findings:
    what = f"the certificate of the {seen.role} in {seen.path}"
    left = seen.expires - view.now
    if seen.invalid:
        yield Finding(code, kind, item, f"{what} cannot be used: {seen.invalid}")
    elif left <= 0:
        yield Finding(code, kind, item, f"{what} has expired")
    elif left < SOON:
        yield Finding(code, kind, item, f"{what} expires in {left / DAY:.0f} days", mild=left >= URGENT)
