"""The other processes of the bridge, as far as the admin listener needs them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from bridge.admin.answers import AdminAnswer
from bridge.admin.endpoints import SentRequest
from bridge.admin.metrics_of_machine import SentMetric

Answering = Callable[[SentRequest], Awaitable[AdminAnswer]]
"""Answers a request that came to another process. A refusal is an answer, too."""


class SentPart(Struct, frozen=True, kw_only=True):
    """What one process knows of what a request asks for.

    Attributes:
        slots: The number of slots whose Charge Points are in it.
        part: The record as JSON.
        refusal: The problem as JSON if the process has refused the request, and told no part.
    """

    slots: int
    part: bytes = b""
    refusal: bytes = b""


class OtherNodes(Protocol):
    """The other processes. Each of them is a node of a cluster, and has some of the Charge Points."""

    def answer_with(
        self,
        answering: Answering,
        telling: Callable[[SentRequest], Awaitable[SentPart]],
        metrics: Callable[[], list[SentMetric]],
    ) -> None:
        """Answer other nodes.

        Args:
            answering: Answers a request.
            telling: Returns this process's part of an answer.
            metrics: Returns the metrics of this process.
        """

    @property
    def node(self) -> str:
        """The name of this process."""

    async def metrics(self) -> dict[str, list[SentMetric]]:
        """Return the metrics of the other processes of this machine, by name. One that is away is left out."""

    @property
    def slots(self) -> int:
        """The number of slots whose Charge Points this process may speak for now, 0 while it is suspended."""

    @property
    def slots_of_all(self) -> int:
        """The number of slots that there are."""

    async def parts(self, sent: SentRequest) -> dict[str, SentPart | None]:
        """Let each other living node tell its part of an answer. None stands for one that has not answered in time."""

    async def at_node(self, node: str, sent: SentRequest) -> AdminAnswer | None:
        """Let a certain node answer a request; None if that is this process.

        Raises:
            Unavailable: The node is away, or has not answered.
        """

    async def at_holder(self, key: str, sent: SentRequest, *, repeatable: bool) -> AdminAnswer | None:
        """Let the node that has a Charge Point answer a request.

        Args:
            key: The key of the Charge Point.
            sent: The request.
            repeatable: Whether the request may be carried out twice.

        Returns:
            The answer; None if this process has the Charge Point.

        Raises:
            Unavailable: No node has had the Charge Point for two leases, or it died meanwhile.
        """
