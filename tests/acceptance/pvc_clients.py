"""What clients of PVC send, of each version, to a cluster of real processes: over TLS, with a token."""

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import urlencode

import attrs

NODE, NAME = "node1.example.com", "web1.example.com"
OLD, MIDDLE, NEW = "python-requests/2.12", "pvc-client-cli/0.6", "pvc-client-cli/1.0.3"


@attrs.frozen
class Sent:
    """
    A request, and what the client goes by.

    :ivar agent: what the client says it is; an old one has a session, others show the token in a header.
    :ivar shown: a text that is in the answer.
    """

    agent: str
    method: str
    path: str
    shown: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    form: Mapping[str, str] = attrs.field(factory=dict)
    status: int = 200


REQUESTS: tuple[Sent, ...] = (
    Sent(OLD, "GET", "", "PVC API version 1", status=209),
    Sent(OLD, "GET", "/node", NODE),
    Sent(OLD, "GET", "/node", NODE, {"limit": "node1"}),
    Sent(OLD, "GET", f"/node/{NODE}/coordinator-state", "primary"),
    Sent(OLD, "GET", "/vm", NAME, {"state": "start"}),
    Sent(OLD, "GET", f"/vm/{NAME}/dump", "<domain"),
    Sent(OLD, "POST", f"/vm/{NAME}/state", "Forcibly stopping VM", form={"state": "stop"}),
    Sent(MIDDLE, "GET", "/", "PVC API version 1.0"),
    Sent(MIDDLE, "GET", "/status", '"primary_node": "node1.example.com"'),
    Sent(MIDDLE, "POST", "/status", "maintenance mode", {"state": "true"}),
    Sent(MIDDLE, "POST", "/status", "normal mode", {"state": "false"}),
    Sent(MIDDLE, "GET", f"/node/{NODE}", '"daemon_state": "run"'),
    Sent(MIDDLE, "GET", "/provisioner/status", "[]"),
    Sent(MIDDLE, "POST", f"/vm/{NAME}/state", "Started VM", {"state": "start", "wait": "true"}),
    Sent(MIDDLE, "GET", f"/vm/{NAME}", '"state": "start"'),
    Sent(
        MIDDLE,
        "POST",
        "/network",
        "added successfully",
        {
            "vni": "100",
            "description": "lab",
            "nettype": "managed",
            "ip4_network": "10.7.0.0/24",
            "ip4_gateway": "10.7.0.1",
            "dhcp4": "false",
        },
    ),
    Sent(MIDDLE, "GET", "/network/100", '"vni": 100'),
    Sent(
        MIDDLE,
        "POST",
        "/storage/ceph/pool",
        "Created new RBD pool",
        {"pool": "vms", "pgs": "8", "replcfg": "copies=2,mincopies=1"},
    ),
    Sent(
        MIDDLE,
        "POST",
        "/storage/ceph/volume",
        "Created new RBD volume",
        {"pool": "vms", "volume": "one", "size": "1G"},
    ),
    Sent(MIDDLE, "GET", "/storage/ceph/volume", '"one"', {"pool": "vms"}),
    Sent(NEW, "GET", "/status", '"cluster_health"'),
    Sent(NEW, "GET", "/status/primary_node", NODE),
    Sent(NEW, "GET", "/vm", NAME, {"limit": "web"}),
    Sent(
        NEW,
        "POST",
        f"/vm/{NAME}/tags",
        "Successfully added tag",
        {"action": "add", "tag": "lab", "protected": "false"},
    ),
    Sent(NEW, "GET", "/vm", NAME, {"tag": "lab"}),
    Sent(NEW, "GET", f"/vm/{NAME}/tags", '"lab"'),
    Sent(NEW, "GET", f"/node/{NODE}/log", "the agent listens", {"lines": "1000"}),
    Sent(NEW, "GET", "/metrics", "pvc_cluster_health 100"),
    Sent(NEW, "GET", "/tasks", '"active"'),
    Sent(NEW, "GET", "/faults", "[", {"sort_key": "last_reported"}),
    Sent(NEW, "GET", "/network", '"lab"'),
    Sent(NEW, "DELETE", "/network/lab", "removed successfully"),
)


class PvcClient:
    """
    Asks an API at a port of this machine.

    :ivar token: what is shown.
    """

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token, self._cookie = port, token, ""

    def log_in(self) -> str:
        """Open a session; the cookie with its attributes."""
        _, headers, _ = self.send("POST", "/auth/login", {}, form={"token": self.token})
        cookie = headers.get("Set-Cookie", "")
        self._cookie = cookie.partition(";")[0]
        return cookie

    def ask(self, sent: Sent) -> tuple[int, str]:
        """Status and text of an answer."""
        headers = {"User-Agent": sent.agent}
        if sent.agent == OLD:
            headers["Cookie"] = self._cookie
        else:
            headers["X-Api-Key"] = self.token
        status, _, text = self.send(sent.method, sent.path, headers, sent.query, sent.form)
        return status, text

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], str]:
        """Status, headers and text of what is answered."""
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=120)
        body = urlencode(form) if form else None
        more = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        uri = f"/api/v1{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            connection.request(method, uri, body, {**headers, **more})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()
        finally:
            connection.close()
