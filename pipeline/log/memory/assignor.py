"""Who gets which partitions: as even as can be, with as few moves as can be, and never from a hand that still holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pipeline.log.api import TopicPartition


def assign(
    partitions: Sequence[TopicPartition], owned: Mapping[str, Collection[TopicPartition]]
) -> dict[str, tuple[TopicPartition, ...]]:
    """By member, what it gets in this generation; `owned` is what each still holds, members in the order they came.

    Kafka's cooperative-sticky rule: a partition that is to move goes to nobody yet. Its owner lets it go and joins
    again, and the next generation gives it away. Which of equal partitions move is the twin's own choice.
    """
    everything = set(partitions)
    held = {member: sorted(each & everything) for member, each in ((name, set(own)) for name, own in owned.items())}
    share, extra = divmod(len(partitions), len(held)) if held else (0, 0)
    # The larger shares go to those who hold most already.
    order = sorted(held, key=lambda member: -len(held[member]))
    quota = {member: share + (rank < extra) for rank, member in enumerate(order)}
    kept = {member: each[max(len(each) - quota[member], 0) :] for member, each in held.items()}
    claimed = {partition for each in held.values() for partition in each}
    free = [partition for partition in partitions if partition not in claimed]
    for member, each in kept.items():
        while free and len(each) < quota[member]:
            each.append(free.pop(0))
    return {member: tuple(sorted(each)) for member, each in kept.items()}
