"""How many bytes a second the loopback of a private network carries.

A token bucket filter, which is a part of Linux: what comes too fast waits in a line before it
arrives. It is set by the kernel's own messages and not by ``tc``, which a process that has its
rights from a user namespace would lose on the way there.

Source: tc-tbf(8), rtnetlink(7), linux/pkt_sched.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

LOOPBACK = "lo"
BURST_BYTES = 131_072  # two of loopback's largest packets: one that is larger is cut up or lost
WAIT_S = 0.05  # of traffic that may stand in the line; more is lost, and TCP sends it again

_NEW_QDISC, _DEL_QDISC = 36, 37
_REQUEST, _ACK, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_ERROR = 2
_KIND, _OPTIONS = 1, 2
_TBF_PARMS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_ROOT, _HANDLE = 0xFFFFFFFF, 0x10000
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, sender
_TC = struct.Struct("=BxHiIII")  # struct tcmsg: family, interface, handle, parent, info
_RATE = struct.Struct("=BBHhHI")  # struct tc_ratespec: cell, link layer, ..., bytes a second
_ETHERNET = 1  # a link layer for which the kernel reckons by itself
_MOST_32 = 0xFFFFFFFF


def set_rate(bytes_per_s: int) -> None:
    """Let loopback carry so much from now on; 0 lets it carry all again.

    Only for a process in a network of its own: on the host's loopback it would slow everybody.

    Raises:
        OSError: the kernel refuses it, or has no such filter.
    """
    index = socket.if_nametoindex(LOOPBACK)
    if bytes_per_s == 0:
        try:
            _ask(_DEL_QDISC, 0, _TC.pack(0, 0, index, 0, _ROOT, 0))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):  # there was none
                raise
        return
    line_bytes = BURST_BYTES + round(bytes_per_s * WAIT_S)
    rate = _RATE.pack(0, _ETHERNET, 0, 0, 0, min(bytes_per_s, _MOST_32))
    options = (
        _attribute(_TBF_PARMS, rate + bytes(_RATE.size) + struct.pack("=III", line_bytes, 0, 0))
        + _attribute(_TBF_RATE64, struct.pack("=Q", bytes_per_s))
        + _attribute(_TBF_BURST, struct.pack("=I", BURST_BYTES))
    )
    _ask(
        _NEW_QDISC,
        _REPLACE | _CREATE,
        _TC.pack(0, 0, index, _HANDLE, _ROOT, 0)
        + _attribute(_KIND, b"tbf\0")
        + _attribute(_OPTIONS, options),
    )


def _attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _ask(what: int, flags: int, message: bytes) -> None:
    """Send one message to the kernel; raises what it answers."""
    header = _HEADER.pack(_HEADER.size + len(message), what, _REQUEST | _ACK | flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(1.0)
        kernel.send(header + message)
        answer = kernel.recv(65_536)
    _, kind, *_ = _HEADER.unpack_from(answer)
    (code,) = struct.unpack_from("=i", answer, _HEADER.size)
    if kind == _ERROR and code != 0:
        raise OSError(-code, os.strerror(-code))
