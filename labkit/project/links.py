"""A link as a queue: messages leave it one after the other."""

from __future__ import annotations

from labkit.emulate.device import Link


class LinkClock:
    """When the messages from one rank to another arrive.

    The sender's side is busy while it puts a message on the wire, so a second one waits; the
    latency passes meanwhile and is not added up. The simulator and the pacer of emulated runs both
    use this class, so they mean the same by a link.

    Args:
        link: the declared one between the two ranks.
    """

    __slots__ = ("free_s", "link")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.free_s = 0.0

    def send(self, ready_s: float, num_bytes: float) -> float:
        """Hand over a message; call it in the order in which messages become ready.

        Args:
            ready_s: when the sender has it.
            num_bytes: its size.
        Returns:
            When the receiver has it, seconds on the clock of ``ready_s``.
        """
        start_s = max(ready_s, self.free_s)
        self.free_s = start_s + num_bytes / self.link.bandwidth_bytes_per_s
        return self.free_s + self.link.latency_s
