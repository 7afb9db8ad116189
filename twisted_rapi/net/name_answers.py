"""
An authoritative name server, from the bytes of a question to those of its answer; no I/O.

It speaks RFC 1035 with EDNS's sizes (RFC 6891); it never recurses, and lets only some have a whole zone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address

from twisted.logger import Logger
from twisted.names import dns

from twisted_rapi.net.zones import REFUSED, TTL, Answer, Row, Zone, answer, transferred

PLAIN, LARGEST = 512, 1232  # bytes of a datagram: without EDNS, and what gets everywhere whole
IN_ONE = 200  # records in one message of a transfer
REFRESH, AGAIN, EXPIRE = 10800, 1800, 86400  # seconds, of an SOA
_STATUS = {"well": dns.OK, "unknown": dns.ENAME, "refused": dns.EREFUSED}
_KINDS = {dns.A: "A", dns.AAAA: "AAAA", dns.PTR: "PTR", dns.NS: "NS", dns.SOA: "SOA", dns.ALL_RECORDS: "ANY"}
_TRANSFERS = (dns.AXFR, dns.IXFR)
_OPT = 41
_HEADER = 12

Networks = Iterable[IPv4Network | IPv6Network]


class NameAnswers:
    """
    Answers questions about zones.

    :param zones: gives the zones as they are, with a number that grows as they change.
    :param transfer: who may have whole zones.
    """

    _log = Logger()

    def __init__(self, zones: Callable[[], tuple[Mapping[str, Zone], int]], transfer: Networks = ()) -> None:
        self._zones, self._transfer = zones, tuple(transfer)

    def respond(self, packet: bytes, peer: str, stream: bool) -> list[bytes]:
        """
        The messages that answer one; none to what is no question.

        :param stream: whether it came by TCP.
        """
        if len(packet) < _HEADER or packet[2] & 0x80:
            return []
        asked = dns.Message()
        try:
            asked.fromStr(packet)
        except Exception:  # noqa: BLE001 -- whatever a stranger's bytes make of it
            unread = dns.Message(id=int.from_bytes(packet[:2], "big"))
            return [_told(_reply(unread, dns.EFORMAT), unread)]
        try:
            return self._respond(asked, peer, stream)
        except Exception:  # noqa: BLE001 -- one odd question ends nothing
            self._log.failure("a question about a name met a bug")
            return [_told(_reply(asked, dns.ESERVER), asked)]

    def _respond(self, asked: dns.Message, peer: str, stream: bool) -> list[bytes]:
        if asked.opCode != dns.OP_QUERY:
            return [_told(_reply(asked, dns.ENOTIMP), asked)]
        if len(asked.queries) != 1:
            return [_told(_reply(asked, dns.EFORMAT), asked)]
        query = asked.queries[0]
        zones, serial = self._zones()
        name = query.name.name.decode("latin-1").lower().rstrip(".")
        if query.type in _TRANSFERS:
            if not stream or not self._trusted(peer):
                return [_told(_reply(asked, dns.EREFUSED), asked)]
            rows = transferred(zones, name)
            return [*_transfer(asked, rows, zones, serial)]
        known = query.cls in (dns.IN, dns.ANY)
        found = answer(zones, name, _KINDS.get(query.type, "")) if known else REFUSED
        return [self._answered(asked, found, zones, serial, stream)]

    def _trusted(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._transfer)

    def _answered(
        self, asked: dns.Message, found: Answer, zones: Mapping[str, Zone], serial: int, stream: bool
    ) -> bytes:
        reply = _reply(asked, _STATUS[found.status], authoritative=found.status != "refused")
        reply.answers = [_record(row, zones, serial) for row in found.rows]
        reply.authority = [_record(row, zones, serial) for row in found.authority]
        reply.additional = [_record(row, zones, serial) for row in found.more]
        size = 0xFFFF if stream else _size(asked)
        whole = _told(reply, asked)
        if len(whole) <= size:
            return whole
        short = _reply(asked, _STATUS[found.status], authoritative=True)
        short.trunc = 1
        return _told(short, asked)


def _transfer(
    asked: dns.Message, rows: tuple[Row, ...] | None, zones: Mapping[str, Zone], serial: int
) -> Iterator[bytes]:
    if rows is None:
        yield _told(_reply(asked, dns.EREFUSED), asked)
        return
    for first in range(0, len(rows), IN_ONE):
        reply = _reply(asked, dns.OK, authoritative=True)
        reply.answers = [_record(row, zones, serial) for row in rows[first : first + IN_ONE]]
        yield _told(reply, asked)


def _size(asked: dns.Message) -> int:
    """How large a datagram who asks can take."""
    told = [each.cls for each in asked.additional if each.type == _OPT]
    return max(PLAIN, min(told[0], LARGEST)) if told else PLAIN


def _reply(asked: dns.Message, status: int, authoritative: bool = False) -> dns.Message:
    reply = dns.Message(
        id=asked.id,
        answer=1,
        opCode=asked.opCode,
        recDes=asked.recDes,
        recAv=0,
        auth=authoritative,
        rCode=status,
        maxSize=0,
    )
    reply.queries = asked.queries[:1]
    return reply


def _told(reply: dns.Message, asked: dns.Message) -> bytes:
    if any(each.type == _OPT for each in asked.additional):
        mine = dns.RRHeader(b"", _OPT, LARGEST, 0, dns.UnknownRecord(b""))
        reply.additional = [*reply.additional, mine]
    packed: bytes = reply.toStr()
    return packed


def _record(row: Row, zones: Mapping[str, Zone], serial: int) -> dns.RRHeader:
    value = row.value.encode("ascii") if row.kind in ("NS", "PTR") else row.value
    payload: object
    if row.kind == "SOA":
        zone = zones[row.name]
        payload = dns.Record_SOA(
            zone.servers[0].encode("ascii"),
            b"root." + row.name.encode("ascii"),
            serial & 0xFFFFFFFF,
            REFRESH,
            AGAIN,
            EXPIRE,
            TTL,
            ttl=TTL,
        )
    else:
        kinds = {"A": dns.Record_A, "AAAA": dns.Record_AAAA, "NS": dns.Record_NS, "PTR": dns.Record_PTR}
        payload = kinds[row.kind](value, ttl=TTL)
    kind = getattr(dns, row.kind)
    return dns.RRHeader(row.name.encode("ascii"), kind, dns.IN, TTL, payload, auth=True)
