"""What crosses the wire between a worker and whoever asks it, as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

ROUTED_HEADER = "statelog-routed-by"
"""On a request that one worker passes to another: `ID;GENERATION` of the one that routed it. It goes no further."""

PROBLEM_TYPE_PREFIX = "urn:problem-type:statelog:"

TABLES_ROOT = "/v1"
STATUS_PATH = "/v1/status"
SKEW_PATH = "/v1/skew"
VERIFY_PATH = "/v1/verify"
OPENAPI_PATH = "/openapi.json"
STREAM_SUFFIX = "/stream"
"""After a row's address."""
CHECKPOINT_PATH = "/v1/checkpoint"
RESERVED_TABLE_NAMES = frozenset({"status", "skew", "verify", "checkpoint"})

STANDBY = "standby"
"""`served_by` of an answer that is not from the owner's active store."""

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
"""Rows in one page."""


class Lag(msgspec.Struct, frozen=True):
    """How far an answer is behind."""

    records: int
    """To the last stable offset of the source, as it was last known."""
    age_s: float
    """How old that knowledge is."""


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who gave an answer, and what it is worth. In a partial list also: who could not, and why."""

    owner: str | None
    """The worker that has the partition; None when nobody is known to."""
    partition: int
    position: int | None
    """The next source offset to fold: everything before it is in the answer, nothing after it."""
    lag: Lag | None
    """None while the end of the source is unknown."""
    served_by: str | None
    """The state of the store that answered: `active` or, only where the question allows it, `standby`."""
    complete: bool
    reason: str | None = None
    """Why a partition is missing from a partial list."""
    worker: str | None = None
    """Who answered in the owner's place, from a standby."""


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row and what is known of the answer."""

    key: str
    value: Any
    meta: Meta
    absent: bool = False
    """From the client alone, and then without a value: whoever `meta` names has no such row. A standby cannot say that
    the owner has none either."""


class Item(msgspec.Struct, frozen=True):
    """A row of a list."""

    key: str
    value: Any


class Page(msgspec.Struct, frozen=True):
    """A part of a list, in key order."""

    items: list[Item]
    next: str | None
    """What to give as `after` for the next part; None at the end."""
    meta: list[Meta]


class RoutedItem(msgspec.Struct, frozen=True):
    """A row on its way from one worker to another, which has to sort it."""

    cursor: str
    key: str
    value: msgspec.Raw


class Unanswered(msgspec.Struct, frozen=True):
    """A partition that could not answer."""

    partition: int
    owner: str | None
    problem: str
    """The kind of problem, as in `problems.ProblemKind`."""
    reason: str


class RoutedPage(msgspec.Struct, frozen=True):
    """The first rows of some of a worker's partitions, merged in key order."""

    items: list[RoutedItem]
    more: bool
    """Whether these partitions hold rows after the last one."""
    meta: list[Meta]
    unanswered: list[Unanswered]


class StandbyRow(msgspec.Struct, frozen=True):
    """A standby of a partition; `position` and `end` are of the source."""

    partition: int
    worker: str
    restoring: bool
    """It is in mid-restore, and answers nothing."""
    position: int
    end: int | None
    folded: int
    """The next changelog offsets to fold, over all tables: of two standbys the one with more is further."""


class PartitionRow(msgspec.Struct, frozen=True):
    """One partition in `status`; `position` and `end` are of the source, of the changelogs while restoring."""

    stage: str
    partition: int
    owner: str | None
    state: str
    """A `PartitionState`, or `unassigned`, or `unreachable` when the owner that Kafka names does not answer."""
    position: int | None
    end: int | None
    rate: float | None
    """Records a second."""
    eta_s: float | None
    digest: str | None = None
    """Of all tables, when it was asked for: `verify` tells it, `status` does not."""
    standbys: list[StandbyRow] = []
    """In a report of the whole group."""


class StatusReport(msgspec.Struct, frozen=True):
    """What a worker says of its partitions, or of its group's."""

    partitions: list[PartitionRow]
    standbys: list[StandbyRow] = []
    """In a worker's report of itself: those that it keeps."""


class HotKeyRow(msgspec.Struct, frozen=True):
    """A key, and how many times it was looked at: no more than `count`, and no fewer than that less `over`."""

    key: str
    count: int
    over: int


class SkewRow(msgspec.Struct, frozen=True):
    """What came to a partition lately, as far as it was committed."""

    stage: str
    partition: int
    owner: str
    seconds: float
    """How far back that is."""
    records: int
    """All that came in that time."""
    looked_at: int
    """Of them, those whose keys were counted: one in sixteen, on average."""
    unnamed: int
    """No key that could be among `keys`, and is not, was looked at oftener."""
    keys: list[HotKeyRow]
    """The oftenest first. None where no key stands out: each then has a share of at most `unnamed` in `looked_at`."""


class SilentWorker(msgspec.Struct, frozen=True):
    """A worker whose partitions are missing from a report."""

    owner: str
    reason: str


class SkewReport(msgspec.Struct, frozen=True):
    """Which partitions and keys are hot, of a worker or of its group."""

    partitions: list[SkewRow]
    silent: list[SilentWorker] = []
    """In a report of the whole group."""


class ProblemDocument(msgspec.Struct, frozen=True):
    """Why there is no answer (RFC 9457), as far as a program uses it."""

    type: str
    title: str
    status: int
    detail: str
    hint: str = ""
    eta_s: float | None = None
    """For a partition that is being restored: seconds left, when that is known."""
    meta: Meta | None = None
    """For a row that does not exist: who knows that, and as of which position."""

    @property
    def kind(self) -> str:
        return self.type.removeprefix(PROBLEM_TYPE_PREFIX)


encode = msgspec.json.Encoder().encode
