"""The transform stage as an agent."""

from __future__ import annotations

from typing import Any

from operators.api import Output, Refusal
from operators.topology import TransformStage
from pipeline.faust_host.acknowledge import when_sent
from pipeline.faust_host.sending import Sending, raw_topic
from pipeline.faust_host.stage import StageInput


def host_transform(app: Any, stage: TransformStage, source: StageInput, sending: Sending) -> None:
    """Each record becomes readings or a dead letter, and is acknowledged once those are in Kafka."""
    operator = stage.operator()

    async def transform(stream: Any) -> None:
        async for event in stream.noack().events():
            record, entry = source.begin(event)
            outcome = operator.transform(record)
            outcomes = [outcome] if isinstance(outcome, Output | Refusal) else outcome
            when_sent([sending.outcome(record, each) for each in outcomes], entry.complete)

    app.agent(raw_topic(app, source.topic), name=stage.name)(transform)
