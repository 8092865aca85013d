package statelog.benchmark;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;

/** Workload d: statistics, windows, duplicates, origins, and a day of final results. */
final class Devices extends ContextualProcessor<String, Reading, String, WindowResult> {
    private static final long KEPT_MS = OpenWindows.WINDOW_MS + 86_400_000;
    private static final int MAX_METRICS = 64;

    static final class Metric {
        String unit;
        Summary summary = new Summary();
        long lastTime = -1;
        double lastValue;
        long lastSeq = -1;
        long outOfOrder;
        long late;
        long restarts;
        long tooOld;
        long oldestResult = -1;
        Sequence sequence = new Sequence();
        OpenWindows open = new OpenWindows();
    }

    static final class Row {
        long firstSeen;
        long duplicates;
        final Map<String, Metric> metrics = new LinkedHashMap<>();
    }

    record Result(String unit, Summary window) {}

    static final Serde<Row> ROWS = Bytes.serde(Devices::write, Devices::read);
    static final Serde<Result> RESULTS =
            Bytes.serde(
                    (result, to) -> result.window.writeWindow(to.put(result.unit)),
                    from -> new Result(Bytes.string(from), Summary.readWindow(from)));

    private final Announcer announcer;
    private KeyValueStore<String, Row> rows;
    private KeyValueStore<byte[], Result> results;
    private KeyValueStore<String, Long> origins;

    Devices(Announcer announcer) {
        this.announcer = announcer;
    }

    @Override
    public void init(ProcessorContext<String, WindowResult> context) {
        super.init(context);
        rows = context.getStateStore(Main.ROWS);
        results = context.getStateStore(Main.RESULTS);
        origins = context.getStateStore(Main.ORIGINS);
    }

    @Override
    public void process(Record<String, Reading> record) {
        announcer.began();
        Reading reading = record.value();
        if (reading == null || !reading.deviceId.equals(record.key())) {
            return;
        }
        String source = reading.origin.topicId + "/" + reading.origin.partition;
        Long folded = origins.get(source);
        if (folded != null && reading.origin.offset <= folded) {
            return;
        }
        long time = reading.eventTime;
        Row row = rows.get(record.key());
        if (row == null) {
            row = new Row();
            row.firstSeen = time;
        }
        Metric metric = row.metrics.get(reading.metric);
        if (metric == null) {
            if (row.metrics.size() == MAX_METRICS) {
                return;
            }
            metric = new Metric();
            metric.unit = reading.unit;
            row.metrics.put(reading.metric, metric);
        } else if (!metric.unit.equals(reading.unit)) {
            return;
        }
        origins.put(source, reading.origin.offset);
        fold(record, reading, time, row, metric);
        rows.put(record.key(), row);
    }

    private void fold(Record<String, Reading> record, Reading reading, long time, Row row, Metric metric) {
        if (reading.seq != null) {
            switch (metric.sequence.judge(reading.seq, time > metric.lastTime)) {
                case DUPLICATE -> {
                    row.duplicates++;
                    return;
                }
                case TOO_OLD -> {
                    metric.tooOld++;
                    return;
                }
                case RESTART -> metric.restarts++;
                case NEW -> {}
            }
        }
        row.firstSeen = Math.min(row.firstSeen, time);
        double value = reading.value;
        metric.summary.add(value);
        if (!metric.open.add(time, value, metric.lastTime)) {
            metric.late++;
        }
        if (time < metric.lastTime) {
            metric.outOfOrder++;
            return;
        }
        metric.lastTime = time;
        metric.lastValue = value;
        metric.lastSeq = reading.seq == null ? -1 : reading.seq;
        while (metric.open.due(time)) {
            Summary window = metric.open.close();
            if (window.start + KEPT_MS > time) {
                results.put(
                        resultKey(record.key(), reading.metric, window.start), new Result(metric.unit, window));
                if (metric.oldestResult < 0) {
                    metric.oldestResult = window.start;
                }
            }
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
        if (metric.oldestResult >= 0 && metric.oldestResult + KEPT_MS <= time) {
            expire(record.key(), reading.metric, metric, time);
        }
    }

    private void expire(String device, String name, Metric metric, long clock) {
        byte[] from = resultKey(device, name, metric.oldestResult);
        byte[] to = resultKey(device, name, clock);
        metric.oldestResult = -1;
        try (KeyValueIterator<byte[], Result> kept = results.range(from, to)) {
            while (kept.hasNext()) {
                KeyValue<byte[], Result> each = kept.next();
                if (each.value.window.start + KEPT_MS > clock) {
                    metric.oldestResult = each.value.window.start;
                    return;
                }
                results.delete(each.key);
            }
        }
    }

    private static byte[] resultKey(String device, String metric, long start) {
        byte[] names = (device + "\0" + metric + "\0").getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(names.length + 8).put(names).putLong(start).array();
    }

    /** Says how many devices the application has, and of how many readings, by its tables. */
    static void count(KafkaStreams streams) {
        ReadOnlyKeyValueStore<String, Row> rows =
                streams.store(
                        StoreQueryParameters.fromNameAndType(
                                Main.ROWS, QueryableStoreTypes.<String, Row>keyValueStore()));
        long devices = 0;
        long readings = 0;
        try (KeyValueIterator<String, Row> all = rows.all()) {
            while (all.hasNext()) {
                devices++;
                for (Metric metric : all.next().value.metrics.values()) {
                    readings += metric.summary.count;
                }
            }
        }
        System.out.println("counted " + devices + " " + readings);
        System.out.flush();
    }

    private static void write(Row row, Bytes to) {
        to.put(row.firstSeen).put(row.duplicates).putCount(row.metrics.size());
        row.metrics.forEach(
                (name, metric) -> {
                    to.put(name).put(metric.unit);
                    metric.summary.writeStatistics(to);
                    to.put(metric.lastTime).put(metric.lastValue).put(metric.lastSeq);
                    to.put(metric.outOfOrder).put(metric.late).put(metric.restarts).put(metric.tooOld);
                    to.put(metric.oldestResult);
                    metric.sequence.write(to);
                    metric.open.write(to);
                });
    }

    private static Row read(ByteBuffer from) {
        Row row = new Row();
        row.firstSeen = from.getLong();
        row.duplicates = from.getLong();
        for (int left = Bytes.count(from); left > 0; left--) {
            String name = Bytes.string(from);
            Metric metric = new Metric();
            metric.unit = Bytes.string(from);
            metric.summary = Summary.readStatistics(from);
            metric.lastTime = from.getLong();
            metric.lastValue = from.getDouble();
            metric.lastSeq = from.getLong();
            metric.outOfOrder = from.getLong();
            metric.late = from.getLong();
            metric.restarts = from.getLong();
            metric.tooOld = from.getLong();
            metric.oldestResult = from.getLong();
            metric.sequence = Sequence.read(from);
            metric.open = OpenWindows.read(from);
            row.metrics.put(name, metric);
        }
        return row;
    }
}
