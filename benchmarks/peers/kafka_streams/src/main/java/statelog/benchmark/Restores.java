package statelog.benchmark;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.processor.StateRestoreListener;

/** Says of each table's partition how many records were read back, and from when to when, on the monotonic clock. */
final class Restores implements StateRestoreListener {
    private static final double NANOSECONDS = 1e9;

    private final Map<TopicPartition, Long> began = new ConcurrentHashMap<>();

    @Override
    public void onRestoreStart(TopicPartition partition, String store, long start, long end) {
        began.put(partition, System.nanoTime());
    }

    @Override
    public void onBatchRestored(TopicPartition partition, String store, long end, long records) {
        // Only the end counts.
    }

    @Override
    public void onRestoreEnd(TopicPartition partition, String store, long records) {
        double from = began.get(partition) / NANOSECONDS;
        System.out.println("restored " + records + " " + from + " " + System.nanoTime() / NANOSECONDS);
        System.out.flush();
    }
}
