"""The place without a place: no worker runs, and each question folds the log anew."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing

from pipeline.drill.recovery import percentile
from pipeline.errors import PipelineError
from pipeline.rehearsal.ground import Ground
from pipeline.rehearsal.telling import Telling
from pipeline.tradeoff.account import Account
from pipeline.tradeoff.figures import Down, Figures, Network
from pipeline.tradeoff.order import Order
from pipeline.tradeoff.paced import Input
from pipeline.tradeoff.places import Place
from pipeline.tradeoff.questions import Asker, OfTheLog, in_ms
from pipeline.tradeoff.stream import Stream

NO_STORE = "the log is the store: while it is down nothing can be asked, nor anything else done"


def measure(ground: Ground, stream: Stream, order: Order, telling: Telling) -> Figures:
    """As many readings as elsewhere, more of them meanwhile, and as many questions as can be answered."""
    with ExitStack() as stack:
        source = stack.enter_context(closing(Input(ground, stream)))
        source.fill(order.readings)
        asked = OfTheLog(ground)  # closed by who asks
        source.start(order.rate)
        sent, began = source.sent, time.monotonic()
        asker = Asker(lambda: asked, stream.devices, order.questions)
        while (passed := time.monotonic() - began) < order.seconds:
            telling.bar("questions", passed, order.seconds, f"{len(asker.seconds):>9,} answered")
            time.sleep(0.1)
        answered = asker.end()
        source.end()
        telling.drop_bars()
        if not answered:
            raise PipelineError("no question was answered in time", hint="give it more --seconds, or fewer --readings")
        telling.detail(f"{len(answered):,} questions answered, each by reading a partition: p50 "
                       f"{in_ms(percentile(answered, 50))} ms", place=Place.RECOMPUTED.value)  # fmt: skip
        traffic = asked.meter.total
        whole = stack.enter_context(closing(OfTheLog(ground)))
        verdict = Account(stream.telemetry[: source.sent]).judge(whole.states(), None)
    return Figures(
        Place.RECOMPUTED,
        verdict,
        Down(NO_STORE),
        question_p50_ms=in_ms(percentile(answered, 50)),
        question_p99_ms=in_ms(percentile(answered, 99)),
        readings_behind_a_question=sent,
        of_a_question=Network(len(answered), traffic.sent_bytes + traffic.received_bytes, traffic.requests),
    )
