"""RAPI resources of the cluster as a whole."""

from twisted_rapi.model.opcodes import cluster as opcodes
from twisted_rapi.plan.info import shared_variants, usable_oses
from twisted_rapi.plan.view import View
from twisted_rapi.web.call import Call, Route
from twisted_rapi.web.rapi.reads import no_locks, tags_of
from twisted_rapi.web.rapi.rows import FORBIDDEN, Submission, forbidden, read, tags, write
from twisted_rapi.web.reply import Reply, ready, success

FEATURES = ("instance-create-reqv1", "instance-reinstall-reqv1", "node-migrate-reqv1", "node-evac-res1")


def nothing(call: Call) -> Reply:
    """``GET /`` and ``GET /2``."""
    return ready(b"null")


def version(call: Call) -> Reply:
    """``GET /version``."""
    return ready(b"2")


def features(call: Call) -> Reply:
    """``GET /2/features``."""
    return success(list(FEATURES))


def info(call: Call) -> Reply:
    """``GET /2/info``."""
    no_locks(call)
    return ready(call.api.answers.info(call.api.answers.view()))


def os_names(view: View) -> list[str]:
    """The OS definitions that can be used on all nodes and are not hidden, by name and variant."""
    names = []
    kept_back = {*view.cluster.hidden_os, *view.cluster.blacklisted_os}
    for name, definitions in usable_oses(view).items():
        if name in kept_back:
            continue
        variants = shared_variants(definitions)
        if definitions[0].variants:
            names += [full for v in variants if (full := f"{name}+{v}") not in kept_back]
        else:
            names.append(name)
    return names


def oses(call: Call) -> Reply:
    """``GET /2/os``; from the nodes' reports, no job is needed."""
    return success(os_names(call.api.answers.view()))


_MODIFY = Submission(opcode=opcodes.ClusterSetParams, handler="cluster_modify")


async def modify(call: Call) -> Reply:
    """``PUT /2/modify``."""
    for name in FORBIDDEN[opcodes.ClusterSetParams.OP_ID]:
        if name in call.arguments() or (isinstance(call.body, dict) and name in call.body):
            raise forbidden(name)
    return await _MODIFY(call)


ROUTES = (
    Route("/", {"GET": read(nothing)}),
    Route("/2", {"GET": read(nothing)}),
    Route("/version", {"GET": read(version)}),
    Route("/2/info", {"GET": read(info)}),
    Route("/2/features", {"GET": read(features)}),
    Route("/2/modify", {"PUT": write(modify)}),
    Route(
        "/2/redistribute-config",
        {"PUT": write(Submission(opcode=opcodes.ClusterRedistConf, handler="redist_config"))},
    ),
    Route("/2/os", {"GET": read(oses)}),
    tags("/2/tags", tags_of("cluster"), "cluster", "tags"),
)
