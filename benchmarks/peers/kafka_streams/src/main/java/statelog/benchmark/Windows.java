package statelog.benchmark;

import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Workload c: not the DSL's windows, whose clock is the partition's and would call a slow device's readings late. */
final class Windows extends ContextualProcessor<String, Reading, String, WindowResult> {
    static final class Metric {
        String unit;
        long clock;
        long late;
        OpenWindows open = new OpenWindows();
    }

    static final class Row {
        final Map<String, Metric> metrics = new LinkedHashMap<>();
    }

    static final Serde<Row> ROWS = Bytes.serde(Windows::write, Windows::read);

    private final Announcer announcer;
    private KeyValueStore<String, Row> rows;

    Windows(Announcer announcer) {
        this.announcer = announcer;
    }

    @Override
    public void init(ProcessorContext<String, WindowResult> context) {
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
        Row row = rows.get(record.key());
        if (row == null) {
            row = new Row();
        }
        Metric metric = row.metrics.get(reading.metric);
        if (metric == null) {
            metric = new Metric();
            metric.unit = reading.unit;
            metric.clock = time;
            row.metrics.put(reading.metric, metric);
        } else if (!metric.unit.equals(reading.unit)) {
            return;
        }
        if (!metric.open.add(time, reading.value, metric.clock)) {
            metric.late++;
        }
        metric.clock = Math.max(metric.clock, time);
        while (metric.open.due(metric.clock)) {
            Summary window = metric.open.close();
            context()
                    .forward(
                            record.withValue(
                                    new WindowResult(
                                            record.key(),
                                            reading.metric,
                                            metric.unit,
                                            window,
                                            OpenWindows.WINDOW_MS)));
        }
        rows.put(record.key(), row);
    }

    private static void write(Row row, Bytes to) {
        to.putCount(row.metrics.size());
        row.metrics.forEach(
                (name, metric) -> {
                    to.put(name).put(metric.unit).put(metric.clock).put(metric.late);
                    metric.open.write(to);
                });
    }

    private static Row read(ByteBuffer from) {
        Row row = new Row();
        for (int left = Bytes.count(from); left > 0; left--) {
            String name = Bytes.string(from);
            Metric metric = new Metric();
            metric.unit = Bytes.string(from);
            metric.clock = from.getLong();
            metric.late = from.getLong();
            metric.open = OpenWindows.read(from);
            row.metrics.put(name, metric);
        }
        return row;
    }
}
