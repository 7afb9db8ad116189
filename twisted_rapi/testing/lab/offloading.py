"""Links whose frames are complete when a process of ours reads them."""

import array
import fcntl
import socket
import struct

_ETHTOOL = 0x8946  # SIOCETHTOOL of linux/sockios.h
_OFF = (0x17, 0x1F, 0x25)  # ETHTOOL_STXCSUM, ETHTOOL_STSO and ETHTOOL_SGSO of linux/ethtool.h


def complete_frames(device: str) -> None:
    """
    Have the sender's side of a link write checksums and frames of the link's size itself.

    Otherwise the kernel leaves that to the card, which a veth does not have.

    :raises OSError: there is no such device here, or this is not root.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for command in _OFF:
            value = array.array("I", [command, 0])
            address, _ = value.buffer_info()
            fcntl.ioctl(asked.fileno(), _ETHTOOL, struct.pack("16sP16x", device.encode(), address))
