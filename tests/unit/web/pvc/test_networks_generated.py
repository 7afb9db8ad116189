"""Whatever is asked of virtual networks in whatever order, what is there afterwards makes sense."""

from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.web.http import parse
from tests.unit.web.pvc.http import FORM
from tests.unit.web.pvc.network_case import ALL, FRONT, MAC, NetworkCase
from tests.unit.web.pvc.test_generated import encoded
from twisted_rapi.model.network_rules import check_network
from twisted_rapi.plan.pvc import network as pvc
from twisted_rapi.plan.pvc.dialect import Dialect

NAMES = ("100", "front", "7", "new", "999", "a b", "ü")
ADDRESSES = (
    "10.100.0.0/24",
    "10.100.0.1",
    "10.100.0.50",
    "10.7.0.0/16",
    "10.7.0.1",
    "fd00:7::/64",
    "fd00:7::9",
)
PLACES = ("", "/lease", f"/lease/{MAC}", "/lease/10.100.0.50", "/acl", "/acl/one", "/acl/two")
RULES = ("accept", "tcp dport 22 drop", "nonsense", "a;b", "{", "\n")
ODD = st.sampled_from(("", "0", "-1", "None", "True", "[]", "%", "\0", "ü", "x" * 300)) | st.text(max_size=5)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "vni": st.sampled_from(NAMES) | ODD,
        "description": st.sampled_from(("new", "one", "two", "front")) | ODD,
        "nettype": st.sampled_from(("managed", "bridged")) | ODD,
        "mtu": st.sampled_from(("1400", "9000", "1")) | ODD,
        "domain": st.sampled_from(("x.example", "front.local")) | ODD,
        "name_servers": st.sampled_from(("1.1.1.1,8.8.8.8", "ns.example.com")) | ODD,
        **dict.fromkeys(pvc._TEXTS[1:], st.sampled_from(ADDRESSES) | ODD),
        "dhcp4": st.sampled_from(("true", "false", "1", "")),
        "macaddress": st.sampled_from((MAC, "ff:ff:ff:ff:ff:ff")) | ODD,
        "ipaddress": st.sampled_from(ADDRESSES) | ODD,
        "hostname": st.sampled_from(("h", "ns")) | ODD,
        "rule": st.sampled_from(RULES) | ODD,
        "direction": st.sampled_from(("in", "out", "up")),
        "order": st.sampled_from(("0", "1", "99")) | ODD,
        "limit": st.sampled_from((".*", "(", "^1")),
        "static": st.sampled_from(("true", "false")),
    },
)
ASKED = st.tuples(
    st.sampled_from(("GET", "POST", "POST", "PUT", "DELETE")),
    st.sampled_from(("", *(f"/{name}" for name in NAMES))),
    st.sampled_from(PLACES),
    VALUES,
    st.sampled_from(ALL),
)


class GeneratedTests(NetworkCase):
    """Odd and fitting requests in any order."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(ASKED, max_size=8))
    def test_any_order(self, asked: list[tuple[str, str, str, dict[str, str], str]]) -> None:
        """Nothing fails inside, all networks can be listed, and nodes were told of what is kept."""
        self.ask("POST", "", **FRONT)
        for method, name, place, values, agent in asked:
            path = f"/api/v1/network{quote(name)}{place if name else ''}"
            data = encoded(list(values.items())).encode()
            found = parse(self.browser.raw(method, path, data, FORM, User_Agent=agent))
            self.assertIn(found.status, (200, 400, 404, 405, 520), (method, path, values, found.body))
        kept: list[Any] = sorted(self.cluster.snapshot.vnets.values(), key=lambda network: network.vni)
        for network in kept:
            check_network(network, kept)
            for dialect in Dialect:
                pvc.info(network, dialect)
        listed = self.ask("GET", "")
        self.assertEqual(len(listed.json()) if listed.status == 200 else 0, len(kept))
        self.assertEqual(self.told().networks, tuple(kept))
