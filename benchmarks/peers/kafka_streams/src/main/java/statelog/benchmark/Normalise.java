package statelog.benchmark;

import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/** Workload a. */
final class Normalise extends ContextualFixedKeyProcessor<String, Reading, Reading> {
    private static final double MAX_VALUE = 1e15;
    private static final long MAX_AHEAD_MS = 5 * 60 * 1000;

    private final Units units;
    private final String topicId;
    private final Announcer announcer;

    Normalise(Units units, String topicId, Announcer announcer) {
        this.units = units;
        this.topicId = topicId;
        this.announcer = announcer;
    }

    @Override
    public void process(FixedKeyRecord<String, Reading> record) {
        announcer.began();
        Reading reading = record.value();
        if (reading == null
                || reading.deviceId == null
                || reading.metric == null
                || reading.value == null
                || reading.unit == null
                || reading.eventTime == null
                || !reading.deviceId.equals(record.key())) {
            return;
        }
        Units.Conversion conversion = units.get(reading.unit);
        if (conversion == null || reading.eventTime - record.timestamp() > MAX_AHEAD_MS) {
            return;
        }
        double value = conversion.apply(reading.value);
        if (!(Math.abs(value) <= MAX_VALUE)) {
            return;
        }
        RecordMetadata metadata = context().recordMetadata().orElseThrow();
        reading.value = value;
        reading.unit = conversion.unit();
        reading.origin = new Reading.Origin();
        reading.origin.topicId = topicId;
        reading.origin.partition = metadata.partition();
        reading.origin.offset = metadata.offset();
        context().forward(record);
    }
}
