"""From a request to what its answer is made from."""

import attrs

from twisted_rapi.errors import NoMaster
from twisted_rapi.plan.faults import shown
from twisted_rapi.plan.pvc.scene import Scene, states_of_jobs
from twisted_rapi.web.call import Api


def scene_of(api: Api) -> Scene:
    """The cluster as of now; valid until the reactor is given back."""
    snapshot = api.cluster.snapshot
    switch, election = snapshot.switch, snapshot.election
    followed = switch is not None and election is not None and switch.term == election.term
    return Scene(
        view=api.answers.view(),
        fates=snapshot.fates,
        faults=shown(snapshot.faults),
        switch=switch if followed and switch is not None and not switch.refused else None,
        networks=snapshot.vnets.values(),
        leases=snapshot.dhcp_leases.values(),
    )


def moving(api: Api) -> dict[str, str]:
    """By machine's name, the states that jobs bring about; none where jobs are not known."""
    try:
        return states_of_jobs(api.cluster.unfinished())
    except NoMaster:  # what is known is old, and jobs are the master's
        return {}


def busy_scene_of(api: Api) -> Scene:
    """As `scene_of`, knowing also what jobs are doing."""
    return attrs.evolve(scene_of(api), moving=moving(api))
