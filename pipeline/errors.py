"""Errors, grouped by what the runtime does next.

    PipelineError
    ├── Retryable             the same call again, after a pause
    ├── TransactionAborted    abort; drop pending and the cache it touched; restore
    ├── Fenced                my producer or instance id was taken, or partitions were lost: drop all, rejoin or leave
    │   └── SeatTaken         another client joined the group under my instance id: join again, once
    ├── OutcomeUnknown        a commit whose answer never came: new producer, then restore learns what was committed
    ├── StateUnusable         quarantine the directory, rebuild
    │   └── StateForeign      another's store, or of topics made anew since: kept aside, never written to
    ├── StateLost             the changelog no longer holds what was committed: stop, name `rebuild --from-source`
    ├── StateLocked           another process holds the directory: stop
    ├── DiskFull              the store's disk takes no more: stop; the store is a good, older prefix
    ├── BrokerFailed          the embedded broker was not fetched, did not start or died: stop, show its log
    ├── StatesDiffer          a proof came out wrong: say which keys, exit
    ├── NotProvable           the log no longer holds what a proof needs: say what, exit
    ├── RefusalLimit          too much bad input: stop before the good drowns, losing nothing
    └── Misconfigured         exit before the first poll
        └── StateTooNew       newer software wrote the store: stop, touch nothing

A refusal (bad input) is no error: it is a value, `operators.api.Refusal`.
"""

from __future__ import annotations

from typing import ClassVar


class ExitCode:
    """Exit codes of the command."""

    OK = 0
    FAILURE = 1
    MISCONFIGURED = 2
    STATES_DIFFER = 3
    NOT_PROVABLE = 4
    REFUSAL_LIMIT = 5
    FENCED = 6


class PipelineError(Exception):
    """A primary line (lower case, no full stop), data beside it, and a hint for the person who reads it."""

    exit_code: ClassVar[int] = ExitCode.FAILURE

    def __init__(self, message: str, *, hint: str = "", **data: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.data = data

    def __str__(self) -> str:
        facts = " ".join(f"{name}={value}" for name, value in self.data.items())
        return f"{self.message} ({facts})" if facts else self.message


class Retryable(PipelineError):
    """Passing trouble of the cluster or the network: the same call may succeed."""


class TransactionAborted(PipelineError):
    """The transaction cannot commit, and nothing of it will be seen; the producer lives on."""


class Fenced(PipelineError):
    """Another holds what was ours: our writes since the last commit will never be seen."""

    exit_code = ExitCode.FENCED


class SeatTaken(Fenced):
    """Another client joined the group under this member's static id. It need not be alive: also an attempt of one's own
    whose answer was lost takes the seat.
    """


class OutcomeUnknown(PipelineError):
    """The answer to a commit never came: it may have happened or not."""


class StateUnusable(PipelineError):
    """A store that cannot be trusted: missing, outdated, corrupt or out of the changelog's range."""


class StateForeign(StateUnusable):
    """The store of another pipeline or partition, or of topics that were deleted and made anew since."""


class StateLost(PipelineError):
    """The changelog no longer holds what was committed: to go on would be to start from an emptier state."""


class StateLocked(PipelineError):
    """Another process has the directory open."""


class DiskFull(PipelineError):
    """No room on the store's disk. What is there stays a good prefix, and a restart goes on from it."""


class BrokerFailed(PipelineError):
    """The embedded broker could not be fetched, did not start or ended by itself."""


class StatesDiffer(PipelineError):
    """A store and its log say different things."""

    exit_code = ExitCode.STATES_DIFFER


class NotProvable(PipelineError):
    """Retention or compaction has taken what a proof would need; nothing is known to be wrong."""

    exit_code = ExitCode.NOT_PROVABLE


class RefusalLimit(PipelineError):
    """More bad input than the limit allows; the transaction that tripped it is aborted, so nothing is lost."""

    exit_code = ExitCode.REFUSAL_LIMIT


class Misconfigured(PipelineError):
    """Settings, topics or a topology that cannot work together."""

    exit_code = ExitCode.MISCONFIGURED


class StateTooNew(Misconfigured):
    """The store was written by newer software, which knows what this one would destroy."""
