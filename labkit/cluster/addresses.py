"""Which address and interface of a host the other hosts reach: the one in the trusted network.

Neither gloo nor the rendezvous store knows encryption or passwords, so ranks on several hosts talk
over a network only when the user says that everybody on it may be trusted.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

import psutil

from labkit.errors import ClusterError, SettingError

LOOPBACK = "127.0.0.1"
LOOPBACK_INTERFACE = "lo"
DECLARE = (
    "ranks on several hosts talk without encryption; where everybody on the hosts' network may be "
    "trusted, declare it, such as labkit.launch(address=..., trusted_network='10.1.0.0/16')"
)


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface of this host and its address in the trusted network."""

    name: str
    address: str


def check_network(network: str) -> str:
    """The network in its usual form; bits of a host are cut off.

    Args:
        network: addresses and a prefix, such as ``10.1.0.0/16``.
    Raises:
        SettingError: it is no IPv4 network, or the whole internet.
    """
    try:
        parsed = ipaddress.IPv4Network(network, strict=False)
    except ValueError as error:
        raise SettingError(
            f"trusted_network={network!r} is no IPv4 network ({error}); give the hosts' network, "
            "such as '10.1.0.0/16'"
        ) from error
    if parsed.prefixlen == 0:
        raise SettingError(
            f"trusted_network={network!r} is every address there is, and nobody can trust those; "
            "give the hosts' own network, such as '10.1.0.0/16'"
        )
    return str(parsed)


def find_interface(network: str) -> Interface:
    """This host's interface in a network.

    Args:
        network: as ``check_network`` returns it.
    Raises:
        ClusterError: no interface has an address there; names the host and what it has.
    """
    trusted = ipaddress.IPv4Network(network)
    found = [
        Interface(name, address.address)
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family == socket.AF_INET
    ]
    for interface in found:
        if ipaddress.IPv4Address(interface.address) in trusted:
            return interface
    have = ", ".join(f"{each.address} on {each.name}" for each in found) or "none at all"
    raise ClusterError(
        f"host {socket.gethostname()} has no address in trusted_network={network!r}, only {have}; "
        "declare the network that joins all hosts"
    )


def interface_for(network: str) -> Interface:
    """The interface for ranks: in the trusted network, or loopback where none is given."""
    if not network:
        return Interface(LOOPBACK_INTERFACE, LOOPBACK)
    return find_interface(network)


def look_for_interface(network: str) -> str:
    """On a worker: why its host has no interface in a network; empty when it has one."""
    try:
        find_interface(network)
    except ClusterError as error:
        return str(error)
    return ""
