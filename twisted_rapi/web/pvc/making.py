"""PVC's API put together."""

from pathlib import Path

from twisted.internet.interfaces import IReactorTime

from twisted_rapi.config import PvcSection
from twisted_rapi.plan.pvc.dialect import NAMES
from twisted_rapi.web.followed import InThread
from twisted_rapi.web.pvc.ceph_looks import CephLooks
from twisted_rapi.web.pvc.endpoints import Endpoints
from twisted_rapi.web.pvc.gate import Gate
from twisted_rapi.web.pvc.openapi import with_document
from twisted_rapi.web.pvc.routes import ENDPOINTS
from twisted_rapi.web.pvc.side import PvcSide
from twisted_rapi.web.pvc.tokens import Tokens
from twisted_rapi.web.watching import IFileWatch


def make_side(
    section: PvcSection, clock: IReactorTime, in_thread: InThread, watch: IFileWatch
) -> tuple[PvcSide, Tokens]:
    """What answers as the configuration says, and the tokens, a service that is still to be started."""
    tokens = Tokens(Path(section.tokens), in_thread, watch)
    gate = Gate(tokens, clock, section.authentication)
    endpoints = Endpoints(with_document(ENDPOINTS))
    return PvcSide(endpoints, NAMES[section.dialect], gate, CephLooks(clock)), tokens
