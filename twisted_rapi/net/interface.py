"""The address the cluster is reached by, whoever is master: what can be done with it."""

from collections.abc import Callable

from zope.interface import Attribute, Interface


class IFloatingAddress(Interface):
    """
    One address, IPv4 or IPv6, that is on the master's host and on no other.

    It is used by one task at a time, but for `release`, which may be called while anything else goes on and
    wins over it.
    """

    text = Attribute("The address, as people write it.")
    conflicts = Attribute("How often another host had it, or claimed it, when it was to be only ours.")

    async def clean() -> None:
        """
        Remove what an earlier process of this host left; to be called before the mastership is sought.

        :raises AddressError: it is there and could not be removed, or that could not be found out.
        """

    async def look() -> None:
        """
        Begin to find out whether others on the link have it, so that `take` need not when it follows soon.

        To be called when nobody is to have it any more; ends when it was for nothing.  Never fails.
        """

    async def take(certain: Callable[[], bool]) -> None:
        """
        Have the address, once it is certain that nobody else on the link has it or is about to take it.

        Taking what is held does nothing.  When it fails, or is cancelled and released, nothing was taken.

        :param certain: whether this host is still to have it; asked from any thread right before it has.
        :raises AddressInUse: somebody else has it.
        :raises AddressElsewhere: it is moved by others, and is not here.
        :raises NoInterface: there is no interface to have it on, or it is down.
        :raises AddressError: the kernel refused.
        """

    async def announce() -> None:
        """
        Tell everybody on the link, several times with pauses, that the address is here; it is held.

        :raises AddressError: nothing could be sent.
        """

    async def hold(certain: Callable[[], bool]) -> str:
        """
        Keep the address for as long as `certain`, and answer why it is no longer only ours.

        A process that ends, or is stopped, loses it within seconds, without doing anything.  Others who
        claim it are answered by an announcement, now and then.

        :param certain: as for `take`; asked again and again.
        :raises AddressError: it cannot be kept.
        """

    async def release() -> None:
        """
        Not have the address, whatever was done with it; it is quick, and may be called at any time.

        :raises AddressError: it is still there, or that could not be found out; to be tried again.
        """

    async def able(tell: Callable[[str], None]) -> None:
        """
        Tell why this host could not have the address now, "" when it could; again whenever that is another.

        It goes on until it is cancelled.

        :raises AddressError: the kernel refused to tell.
        """

    async def arrival() -> None:
        """Wait until this host has the address."""

    async def departure() -> None:
        """Wait until this host has not got the address."""
