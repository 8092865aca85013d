package statelog.benchmark;

import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Workload b. */
final class Statistics extends ContextualProcessor<String, Reading, Void, Void> {
    static final class Metric {
        String unit;
        Summary summary = new Summary();
        long lastTime;
        double lastValue;
        long outOfOrder;
    }

    static final class Row {
        long firstSeen;
        final Map<String, Metric> metrics = new LinkedHashMap<>();
    }

    static final Serde<Row> ROWS = Bytes.serde(Statistics::write, Statistics::read);

    private final Announcer announcer;
    private KeyValueStore<String, Row> rows;

    Statistics(Announcer announcer) {
        this.announcer = announcer;
    }

    @Override
    public void init(ProcessorContext<Void, Void> context) {
        super.init(context);
        rows = context.getStateStore(Main.ROWS);
    }

    @Override
    public void process(Record<String, Reading> record) {
        announcer.began();
        Reading reading = record.value();
        if (reading == null || !reading.deviceId.equals(record.key())) {
            return;
        }
        long time = reading.eventTime;
        double value = reading.value;
        Row row = rows.get(record.key());
        if (row == null) {
            row = new Row();
            row.firstSeen = time;
        }
        row.firstSeen = Math.min(row.firstSeen, time);
        Metric metric = row.metrics.get(reading.metric);
        if (metric == null) {
            metric = new Metric();
            metric.unit = reading.unit;
            metric.lastTime = time;
            row.metrics.put(reading.metric, metric);
        } else if (!metric.unit.equals(reading.unit)) {
            return;
        }
        metric.summary.add(value);
        if (time >= metric.lastTime) {
            metric.lastTime = time;
            metric.lastValue = value;
        } else {
            metric.outOfOrder++;
        }
        rows.put(record.key(), row);
    }

    private static void write(Row row, Bytes to) {
        to.put(row.firstSeen).putCount(row.metrics.size());
        row.metrics.forEach(
                (name, metric) -> {
                    to.put(name).put(metric.unit);
                    metric.summary.writeStatistics(to);
                    to.put(metric.lastTime).put(metric.lastValue).put(metric.outOfOrder);
                });
    }

    private static Row read(ByteBuffer from) {
        Row row = new Row();
        row.firstSeen = from.getLong();
        for (int left = Bytes.count(from); left > 0; left--) {
            String name = Bytes.string(from);
            Metric metric = new Metric();
            metric.unit = Bytes.string(from);
            metric.summary = Summary.readStatistics(from);
            metric.lastTime = from.getLong();
            metric.lastValue = from.getDouble();
            metric.outOfOrder = from.getLong();
            row.metrics.put(name, metric);
        }
        return row;
    }
}
