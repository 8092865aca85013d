"""A member's client: what it knows of its group, and what the application has still to hear at its next poll."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from pipeline.errors import Fenced
from pipeline.log.api import TopicPartition
from pipeline.log.memory.groups import Group, Token


class News(Enum):
    """What a listener is told."""

    ASSIGNED = "assigned"
    REVOKED = "revoked"
    LOST = "lost"


Tell = Callable[[News, Sequence[TopicPartition]], None]


class Membership:
    """`pipeline.log.memory.groups.MemberClient` of one source."""

    def __init__(
        self,
        group: Group,
        topic: str,
        *,
        client_id: str,
        instance_id: str | None,
        session_timeout_ms: int,
        max_poll_interval_ms: int,
        now_ms: int,
    ) -> None:
        self.topic = topic
        self.client_id = client_id
        self.instance_id = instance_id
        self.session_timeout_ms = session_timeout_ms
        self.owned: tuple[TopicPartition, ...] = ()
        self.token = Token(group.name, "", -1, instance_id)
        self._group = group
        self._max_poll_interval_ms = max_poll_interval_ms
        self._polled_ms = now_ms
        self._news: list[tuple[News, tuple[TopicPartition, ...]]] = []
        self._gives_back = False
        """Whether the news ask for partitions: once they are served, the member joins again."""
        self._anew = False
        """Whether the application has asked to give everything back and join again."""
        self._out = True
        """Not in the group: it joins at its first poll, and again at the one that tells what it has lost."""
        self._fenced: Fenced | None = None
        """Why it is dead, until the application has heard."""
        self._dead = False
        self._serving = False
        self._frozen = False
        self.closed = False

    # For the coordinator

    @property
    def can_join(self) -> bool:
        return not (self._news or self._serving or self._out or self._anew or self._frozen or self.closed)

    def take(self, generation: int, partitions: Sequence[TopicPartition]) -> None:
        self.token = self.token._replace(generation=generation)
        back = tuple(each for each in self.owned if each not in partitions)
        new = tuple(each for each in partitions if each not in self.owned)
        if back:
            self._news.append((News.REVOKED, back))
            self._gives_back = True
        # Told of every generation, with nothing new in most: so does librdkafka.
        self._news.append((News.ASSIGNED, new))

    def replaced(self) -> None:
        self._fence(Fenced("static consumer fenced by other consumer", code="FENCED_INSTANCE_ID"))

    # For the application's thread

    def serve(self, now_ms: int, tell: Tell) -> None:
        """Pass on what there is to know. Raises Fenced, once, when another has the static id."""
        self._polled_ms = now_ms
        if self._fenced is not None:
            fenced, self._fenced = self._fenced, None
            raise fenced
        if not self._news and not self._out and not self._anew:
            return
        self._serving = True
        news, self._news = self._news, []
        for kind, partitions in news:
            self._pass_on(kind, partitions, tell)
        leaves = self._anew and not self._out
        if leaves and self.owned:
            self._pass_on(News.REVOKED, self.owned, tell)
        self._serving = self._anew = False
        if self._dead:
            return  # another took its seat meanwhile: it has nothing more to say to the group
        if leaves and self.instance_id is None:
            self._group.leave(self.token.member_id)
            self._join()
        elif self._out:
            self._join()
        elif self._gives_back or leaves:
            self._gives_back = False
            self._group.rejoin()
        else:
            self._group.serve()

    def _pass_on(self, kind: News, partitions: tuple[TopicPartition, ...], tell: Tell) -> None:
        if kind is News.ASSIGNED:
            self.owned += partitions
        tell(kind, partitions)
        if kind is not News.ASSIGNED:
            self.owned = tuple(each for each in self.owned if each not in partitions)

    def join_anew(self) -> None:
        """Give everything back at the next poll, and join as one that has nothing: a dynamic member as a new one."""
        self._anew = True

    def close(self, now_ms: int, tell: Tell) -> None:
        """A dynamic member leaves; a static one keeps its seat until its session ends.

        On Kafka it is chance whether a member can still commit what it is told is revoked, as its client may have let
        go of the group by then. Here it never can.
        """
        if self.closed:
            return
        self.closed = True
        self.token = self.token._replace(generation=-1)
        if self.instance_id is None:
            self._group.leave(self.token.member_id)
        if self.owned and not self._dead:
            tell(News.LOST if self._out else News.REVOKED, self.owned)
        self.owned, self._news = (), []
        if self.instance_id is not None:
            self._group.silence(self.token.member_id, now_ms)

    # For time and fate

    def freeze(self, now_ms: int) -> None:
        """Its process stands still, or is no more: heartbeats end."""
        self._frozen = True
        self._group.silence(self.token.member_id, now_ms)

    def thaw(self) -> None:
        """Its process goes on; the first heartbeat tells what has become of it."""
        self._frozen = False
        if self.closed or self._dead or self._out:
            return
        try:
            if self._group.heartbeat(self.token):
                return
            self._lose()
            if not self.owned:
                self._join()
        except Fenced as error:
            self._fence(error)

    def next_poll_ms(self) -> int | None:
        """When it has to have polled, or it is out."""
        if self._frozen or self.closed or self._out or self._dead:
            return None
        return self._polled_ms + self._max_poll_interval_ms

    def leave_if_overdue(self, now_ms: int) -> None:
        """The loop did not poll in time: the client leaves, a static one by falling silent."""
        due = self.next_poll_ms()
        if due is None or now_ms < due:
            return
        if self.instance_id is None:
            self._group.leave(self.token.member_id)
        else:
            self._group.silence(self.token.member_id, now_ms)
        self._lose()

    def _fence(self, error: Fenced) -> None:
        if not self.closed:
            self._fenced, self._dead = error, True
            self._news = []

    def _lose(self) -> None:
        self._out, self._gives_back = True, False
        self.token = self.token._replace(generation=-1)
        self._news = [(News.LOST, self.owned)] if self.owned else []

    def _join(self) -> None:
        self._out = False
        # The coordinator may answer at once, so the id has to be there before the answer's generation.
        self.token = self.token._replace(member_id=self._group.new_member_id(self.client_id), generation=-1)
        self._group.join(self.token.member_id, self)
