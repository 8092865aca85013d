"""The group coordinator, and what each member's client does for its group behind the application's back.

Modelled, for the classic protocol with cooperative-sticky: generations; partitions that move in two steps; static
members, which take their partitions back at once and fence a double; sessions that end in silence; the longest time
between two polls. A client answers the coordinator at once and by itself, as librdkafka's threads do, unless its
process is frozen or it has news that the application has not polled yet: that holds a rebalance up, as on Kafka.
Not modelled: the group protocol of KIP-848; rebalance time-outs (a member that holds a rebalance up loses its seat
first); topics that come, go or grow under a group that does not rebalance for another reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple, Protocol

from pipeline.errors import Fenced, TransactionAborted
from pipeline.log.api import TopicPartition
from pipeline.log.memory.assignor import assign
from pipeline.log.memory.offsets import GroupOffsets


class MemberClient(Protocol):
    """The other side of a membership."""

    client_id: str
    instance_id: str | None
    topic: str
    session_timeout_ms: int

    @property
    def owned(self) -> Sequence[TopicPartition]:
        """What the application was given and has not given back."""
        ...

    @property
    def can_join(self) -> bool:
        """Whether it would answer a call to join again."""
        ...

    def take(self, generation: int, partitions: Sequence[TopicPartition]) -> None:
        """The coordinator's word, at the end of a rebalance."""
        ...

    def replaced(self) -> None:
        """Another client has taken this one's static id."""
        ...


class Token(NamedTuple):
    """What a member shows when offsets are committed in its name."""

    group: str
    member_id: str
    generation: int
    instance_id: str | None


class GroupMember:
    def __init__(self, member_id: str, client: MemberClient) -> None:
        self.member_id = member_id
        self.client = client
        self.assigned: tuple[TopicPartition, ...] = ()
        self.joined = False
        """Whether it has answered the rebalance that is under way."""
        self.silent_since: int | None = None
        """When its heartbeats ended; None while they come."""

    @property
    def ends_ms(self) -> int | None:
        """When its session ends, unless it speaks again."""
        return None if self.silent_since is None else self.silent_since + self.client.session_timeout_ms


class Group:
    """One consumer group."""

    def __init__(self, name: str, partitions_of: Callable[[str], Sequence[TopicPartition]]) -> None:
        self.name = name
        self.offsets = GroupOffsets()
        self.generation = 0
        self.members: dict[str, GroupMember] = {}
        self._partitions_of = partitions_of
        self._rebalancing = False
        self._numbers = count(1)

    def new_member_id(self, client_id: str) -> str:
        return f"{client_id}-{next(self._numbers)}"

    def join(self, member_id: str, client: MemberClient) -> None:
        """A newcomer. A static id that is taken goes to it, with its partitions, at once."""
        member = GroupMember(member_id, client)
        before = self._static(client.instance_id)
        if before is None:
            self.members[member_id] = member
            self.rebalance()
            return
        member.assigned = before.assigned
        self.members = {
            each.member_id: each for each in (member if each is before else each for each in self.members.values())
        }
        if before.client is not client:
            before.client.replaced()
        if self._rebalancing:
            self.serve()
        else:
            client.take(self.generation, member.assigned)

    def leave(self, member_id: str) -> None:
        """By its own word, or because its session has ended."""
        if self.members.pop(member_id, None) is not None and self.members:
            self.rebalance()

    def silence(self, member_id: str, now_ms: int) -> None:
        """No heartbeat comes from now on."""
        member = self.members.get(member_id)
        if member is not None and member.silent_since is None:
            member.silent_since = now_ms

    def heartbeat(self, token: Token) -> bool:
        """Whether the member still belongs. Raises Fenced when another has its static id."""
        member = self.members.get(token.member_id)
        if member is None and self._static(token.instance_id) is not None:
            raise Fenced("static consumer fenced by other consumer", code="FENCED_INSTANCE_ID")
        if member is None:
            return False
        member.silent_since = None
        self.serve()
        return True

    def rejoin(self) -> None:
        """A member has given back what it was asked for, and says what it still holds."""
        if self._rebalancing:
            self.serve()
        else:
            self.rebalance()

    def rebalance(self) -> None:
        """Ask all to join again. It ends when the last of them has."""
        self._rebalancing = True
        for member in self.members.values():
            member.joined = False
        self.serve()

    def serve(self) -> None:
        """Go on with a rebalance as far as its members are ready for it."""
        if not self._rebalancing:
            return
        for member in self.members.values():
            member.joined = member.joined or (member.silent_since is None and member.client.can_join)
        if not all(member.joined for member in self.members.values()):
            return
        self._rebalancing = False
        self.generation += 1
        topics = dict.fromkeys(member.client.topic for member in self.members.values())
        partitions = [each for topic in topics for each in self._partitions_of(topic)]
        given = assign(partitions, {each.member_id: each.client.owned for each in self.members.values()})
        for member in self.members.values():
            member.assigned = given[member.member_id]
        for member in list(self.members.values()):
            member.client.take(self.generation, member.assigned)

    @property
    def settled(self) -> bool:
        """No rebalance is under way, and no member has news that it has not heard yet."""
        return not self._rebalancing and all(member.client.can_join for member in self.members.values())

    def next_end_ms(self) -> int | None:
        ends = (member.ends_ms for member in self.members.values())
        return min((each for each in ends if each is not None), default=None)

    def end_sessions(self, now_ms: int) -> None:
        for member in list(self.members.values()):
            if member.ends_ms is not None and member.ends_ms <= now_ms:
                self.leave(member.member_id)

    def check(self, token: Token) -> None:
        """Whether offsets may be committed under these credentials: the member is checked, not the partition.

        Raises TransactionAborted: the producer lives on.
        """
        member = self.members.get(token.member_id)
        if member is None:
            taken = self._static(token.instance_id) is not None
            raise TransactionAborted(
                "static consumer fenced by other consumer" if taken else "unknown member",
                code="FENCED_INSTANCE_ID" if taken else "UNKNOWN_MEMBER_ID",
            )
        if token.generation != self.generation:
            raise TransactionAborted("specified group generation id is not valid", code="ILLEGAL_GENERATION")

    def _static(self, instance_id: str | None) -> GroupMember | None:
        if instance_id is None:
            return None
        return next((each for each in self.members.values() if each.client.instance_id == instance_id), None)
