"""RAPI resources of networks."""

from typing import Any

from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes import network as opcodes
from twisted_rapi.web.call import Route
from twisted_rapi.web.rapi.reads import listing, single, tags_of
from twisted_rapi.web.rapi.rows import Submission, read, tags, write

_NETWORK = "/2/networks/[network_name]"


def _network(opcode: type[Opcode], what: str = "", **more: Any) -> Submission:
    handler = f"networks_name_{what}" if what else "networks_name"
    return Submission(opcode=opcode, handler=handler, names={"network_name": "network_name"}, **more)


ADD = Submission(
    opcode=opcodes.NetworkAdd, handler="networks", renames={"name": "network_name"}, dry_run=True
)

ROUTES = (
    Route(
        "/2/networks",
        {"GET": read(listing("network", "networks", "name")), "POST": write(ADD)},
    ),
    Route(
        _NETWORK,
        {
            "GET": read(single("network", "network_name")),
            "DELETE": write(_network(opcodes.NetworkRemove, dry_run=True)),
        },
    ),
    Route(f"{_NETWORK}/connect", {"PUT": write(_network(opcodes.NetworkConnect, "connect", dry_run=True))}),
    Route(
        f"{_NETWORK}/disconnect",
        {"PUT": write(_network(opcodes.NetworkDisconnect, "disconnect", dry_run=True))},
    ),
    Route(f"{_NETWORK}/modify", {"PUT": write(_network(opcodes.NetworkSetParams, "modify"))}),
    Route(f"{_NETWORK}/rename", {"PUT": write(_network(opcodes.NetworkRename, "rename", dry_run=True))}),
    tags(
        f"{_NETWORK}/tags",
        tags_of("network", "network_name"),
        "network",
        "networks_name_tags",
        "network_name",
    ),
)
