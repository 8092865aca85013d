"""What a committed source offset carries beside itself."""

from __future__ import annotations

import msgspec

from pipeline.errors import StateLost


class CommittedMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """In the metadata of each committed offset: what the state was when that offset was committed.

    With it a worker that comes without a disk notices a changelog that is gone, instead of starting empty at a late
    offset. Well below Kafka's 4,096 bytes for any sensible number of tables.
    """

    source_topic_id: str
    changelogs: dict[str, tuple[str, int]] = {}
    """By table: its changelog's topic id, and the next offset when this was committed."""
    refusals: list[object] | None = None
    """See `RefusalCount.export`."""
    next_offset: int | None = None
    """The committed offset itself: one that was moved by hand, with all this beside it, says another."""
    partitions: int = 0
    """How many the source had: with more of them, keys belong to other partitions than their state. 0: not said."""

    def encode(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> CommittedMetadata:
        """Raises StateLost for what no worker wrote: an offset set by hand says nothing of the state."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError as error:
            raise StateLost("the committed offset was not written by a statelog worker",
                            hint="somebody moved the group's offsets; `statelog rebuild --from-source` starts anew",
                            metadata=text[:80]) from error  # fmt: skip
