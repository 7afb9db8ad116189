"""What a node is made of."""

from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
from twisted.internet.interfaces import IReactorTime

from twisted_rapi.agent.certificates import Certificates
from twisted_rapi.agent.exports import Exports
from twisted_rapi.agent.interface import IAllocators, IFencer, IHookRunner, INames, IOsRunner, IStreams
from twisted_rapi.agent.settings import Simulated
from twisted_rapi.agent.term import InThread
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.model.seen import CertificateSeen, ProviderSeen
from twisted_rapi.model.steps import ReadLog
from twisted_rapi.net.virtual_interface import IVirtualNetworks
from twisted_rapi.storage.ceph_interface import ICeph
from twisted_rapi.storage.interface import IVolumeDriver
from twisted_rapi.storage.units import IStorageUnits


@attrs.frozen(kw_only=True)
class Parts:
    """
    What a node is made of.

    :ivar hypervisors: by kind; `volumes`: by disk template; `units`: by storage type.
    :ivar powercycle: restarts the machine at once; ``None``: it may not be restarted.
    :ivar now: seconds since the epoch.
    :ivar hooks: ``None``: none are run here.
    :ivar simulated: sizes to report instead of the machine's own.
    :ivar fencer: switches other nodes off; ``None``: none does.
    :ivar migration: by kind, how other nodes reach a hypervisor with a guest that comes here.
    :ivar ceph: the Ceph cluster that is reached from here; ``None``: none is.
    :ivar names: what host names stand for.
    :ivar streams: carries the bytes of disks; `exports`: the folder with exports; `certificates`: keys for
        exports to other clusters.
    :ivar providers: finds the providers of external storage, as `certificates_seen` does the certificates in
        use; both block.
    :ivar networks: virtual networks; ``None``: the node has none.
    :ivar logs: reads the end of a log; blocks.  ``None``: none is shown.
    :ivar failpoint: called before and after each step, with its tag, for crash tests.
    """

    hypervisors: Mapping[str, IHypervisor]
    volumes: Mapping[str, IVolumeDriver]
    os_runner: IOsRunner
    allocators: IAllocators
    names: INames
    clock: IReactorTime
    now: Callable[[], float]
    in_thread: InThread
    state_dir: Path
    hooks: IHookRunner | None = None
    simulated: Simulated | None = None
    units: Mapping[str, IStorageUnits] = attrs.field(factory=dict)
    powercycle: Callable[[], None] | None = None
    fencer: IFencer | None = None
    migration: Mapping[str, str] = attrs.field(factory=dict)
    ceph: ICeph | None = None
    streams: IStreams | None = None
    exports: Exports | None = None
    certificates: Certificates | None = None
    providers: Callable[[], tuple[ProviderSeen, ...]] = tuple
    certificates_seen: Callable[[], tuple[CertificateSeen, ...]] = tuple
    networks: IVirtualNetworks | None = None
    logs: Callable[[ReadLog], str] | None = None
    failpoint: Callable[[str], None] = lambda _: None
