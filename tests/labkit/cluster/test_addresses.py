"""Which address of a host other hosts reach."""

from __future__ import annotations

import pytest

from labkit.cluster.addresses import Interface, check_network, find_interface, interface_for
from labkit.errors import ClusterError, SettingError


@pytest.mark.parametrize("network", ["eth0", "10.1.0.0/33", "", "fd00::/8", "10.1.0.0/16/2"])
def test_what_is_no_network_is_refused_with_an_example(network: str) -> None:
    with pytest.raises(SettingError, match=r"trusted_network=.* is no IPv4 network .*10\.1\.0\.0"):
        check_network(network)


def test_the_whole_internet_cannot_be_trusted() -> None:
    with pytest.raises(SettingError, match=r"is every address there is, and nobody can trust"):
        check_network("0.0.0.0/0")


def test_the_bits_of_a_host_are_cut_off() -> None:
    assert check_network("10.1.2.3/16") == "10.1.0.0/16"


def test_the_interface_is_the_one_with_an_address_in_the_network() -> None:
    assert find_interface("127.0.0.0/8") == Interface("lo", "127.0.0.1")
    assert interface_for("") == Interface("lo", "127.0.0.1")


def test_a_host_outside_the_network_is_named_with_what_it_has() -> None:
    with pytest.raises(ClusterError, match=r"host .* has no address in .*203\.0\.113\..* on lo"):
        find_interface("203.0.113.0/24")
