"""The recorded virtual networks, and where what is answered of them differs on purpose."""

from typing import Any

from tests.conformance.pvc.difference import BY_NAME, INSIDE, LIST_OF_ONE, Difference
from twisted_rapi.model.records import name_key
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord, StaticLease, VirtualNetworkRecord

FRONTEND = VirtualNetworkRecord(
    uuid="vnet-100",
    name="frontend",
    kind="managed",
    vni=100,
    domain="front.pvc.local",
    name_servers=("10.0.0.53", "10.0.0.54"),
    ip4_network="10.100.0.0/24",
    ip4_gateway="10.100.0.1",
    dhcp4=True,
    dhcp4_start="10.100.0.100",
    dhcp4_end="10.100.0.199",
    ip6_network="fd00:100::/64",
    ip6_gateway="fd00:100::1",
    static_leases=(StaticLease(mac="52:54:00:00:09:09", address="10.100.0.9", hostname="printer"),),
    acls=(
        Acl(name="allow-http", direction="in", rule="tcp dport 80 accept"),
        Acl(name="allow-https", direction="in", rule="tcp dport 443 accept"),
        Acl(name="drop-all", direction="in", rule="drop"),
        Acl(name="allow-all", direction="out", rule="accept"),
    ),
)
BACKEND = VirtualNetworkRecord(
    uuid="vnet-200",
    name="backend",
    kind="managed",
    vni=200,
    domain="back.pvc.local",
    ip4_network="10.200.0.0/24",
    ip4_gateway="10.200.0.1",
)
DMZ = VirtualNetworkRecord(uuid="vnet-300", name="dmz", kind="bridged", vni=300)
FRONT10 = VirtualNetworkRecord(uuid="vnet-10", name="front10", kind="bridged", vni=10)
LEASES = (("web1", 1, "01:52:54:00:00:01:01"), ("web2", 2, "*"))


def records_of_networks() -> tuple[list[Any], dict[str, str]]:
    """Records, and the names they take."""
    networks = [FRONTEND, BACKEND, DMZ, FRONT10]
    leases = [
        DhcpLeaseRecord(
            network=FRONTEND.uuid,
            address=f"10.100.0.10{n}",
            mac=f"52:54:00:00:0{n}:01",
            hostname=name,
            expires=1700172799.0 + n,
            client=client,
        )
        for name, n, client in LEASES
    ]
    names = {name_key("vnet", network.name): network.uuid for network in networks}
    names |= {name_key("vnet-vni", str(network.vni)): network.uuid for network in networks}
    return [*networks, *leases], names


_AFTER_ADDED = ("net-get-added", "net-add-dup-vni", "net-add-dup-desc")
_LATER = {**dict.fromkeys(_AFTER_ADDED, "net-add-managed-nodhcp"), "acl-list-after-order1": "acl-add-order1"}
BEFORE: dict[str, dict[str, str]] = {
    "seed": dict.fromkeys(_AFTER_ADDED, "net-add-managed"),
    "v06": _LATER,
    "v1": _LATER,
}
"""By file and name of a request, the one whose effect it was asked to show."""

_ONCE = "A network whose id and description both match a pattern is listed once; the original lists it twice."
_NAMED = (
    "A network has the description that it is given; the first form of the original gives it its id as one."
)
_TOLD = "What is missing is told by its own name; the first form of the original names another value."
_CHECKED = (
    "A network has to make sense as the first documentation says: ids in range, addresses in their networks, "
    "gateways where they are needed; the original takes anything."
)
_UNKNOWN = "A change of a network that is not there is refused; the original says that it was made."
_MTU = "A network without an MTU of its own shows an empty text; 1.0 of the original shows ``None`` for some."
_RULES = (
    "Rules are listed, added and removed as the documents say; the first form of the original cannot do it."
)
_RULE = "A rule is shown with its own text; the original shows one rule's text for all of a direction."

OF_NETWORKS: tuple[Difference, ...] = (
    Difference(BY_NAME, "seed", "net-get-fuzzy|lease-get-fuzzy", 200),
    Difference(_ONCE, "seed|v1", "net-list-limit-10", 200),
    Difference(_NAMED, "seed", "net-add-(bridged|managed|dhcp4|v6)|net-get-added", 200),
    Difference(_TOLD, "seed", "net-add-missing-desc", 520),
    Difference(_TOLD, "seed", "lease-add-nomac", 400),
    Difference(INSIDE, "seed", "net-put|lease-add", 200),
    Difference(INSIDE, "v06", "net-add-minimal-nodhcparg|net-add-dhcp4|net-list-after-garbage", 200),
    Difference(INSIDE, "v06", "lease-list-nostaticarg|lease-list-static|lease-add", 200),
    Difference(INSIDE, "v1", "net-list-after-garbage", 200),
    Difference(_CHECKED, "v06|v1", "net-add-nogateway|net-add-garbage", 400),
    Difference(_UNKNOWN, "v06|v1", "net-put-missing", 400),
    Difference(_MTU, "v1", "net-get-added", 200),
    Difference(_RULES, "seed", "acl-(list-none|get|get-missing|add|add-with-limit-arg|del)", 200),
    Difference(_RULES, "seed", "acl-list-baddir", 400),
    Difference(_RULE, "v06|v1", "acl-list-limit|acl-list-after-order1", 200),
    Difference(BY_NAME, "v06|v1", "acl-get", 200),
    Difference(LIST_OF_ONE, "v06", "acl-list-out", 200),
)
