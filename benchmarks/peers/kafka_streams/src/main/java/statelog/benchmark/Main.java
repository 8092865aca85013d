package statelog.benchmark;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams at the suite's workloads.
 *
 * <p>SERVERS WORK GUARANTEE COMMIT_MS THREADS CACHE_BYTES UNITS, then for each pass: APPLICATION SOURCE SOURCE_ID OUTPUT
 * STATE_DIRECTORY. It says `began` with the first record of a pass and `restored` for each table's partition that it has
 * read back, goes on to the next pass when it is given an empty line, and ends at SIGTERM or at the end of its input. At
 * `count` it says `counted` and how many devices and readings its tables hold.
 */
public final class Main {
    static final String ROWS = "rows";
    static final String RESULTS = "results";
    static final String ORIGINS = "origins";

    private static final int COMMON = 7;
    private static final int OF_A_PASS = 5;

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Units units = new Units(Path.of(arguments[6]));
        AtomicReference<KafkaStreams> running = new AtomicReference<>();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(running.get())));
        BufferedReader orders =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (int first = COMMON; first < arguments.length; first += OF_A_PASS) {
            String[] pass = java.util.Arrays.copyOfRange(arguments, first, first + OF_A_PASS);
            Topology topology = topology(arguments[1], units, pass[1], pass[2], pass[3]);
            KafkaStreams streams = new KafkaStreams(topology, configuration(arguments, pass[0], pass[4]));
            streams.setUncaughtExceptionHandler(
                    error -> {
                        error.printStackTrace();
                        Runtime.getRuntime().halt(1);
                        return null;
                    });
            streams.setGlobalStateRestoreListener(new Restores());
            running.set(streams);
            streams.start();
            String order = orders.readLine();
            while ("count".equals(order)) {
                Devices.count(whenRunning(streams));
                order = orders.readLine();
            }
            close(streams);
            if (order == null) {
                return;
            }
        }
    }

    /** Its tables may be asked only then; all that there is to restore was restored a moment before. */
    private static KafkaStreams whenRunning(KafkaStreams streams) throws InterruptedException {
        while (streams.state() != KafkaStreams.State.RUNNING) {
            Thread.sleep(20);
        }
        return streams;
    }

    private static void close(KafkaStreams streams) {
        if (streams != null) {
            streams.close(Duration.ofSeconds(30));
        }
    }

    private static Properties configuration(String[] arguments, String application, String directory) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, directory);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, arguments[2]);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, arguments[3]);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments[4]);
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, arguments[5]);
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        properties.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 10_000);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128 << 20);
        return properties;
    }

    private static Topology topology(String work, Units units, String source, String sourceId, String output) {
        StreamsBuilder builder = new StreamsBuilder();
        Announcer announcer = new Announcer();
        KStream<String, Reading> readings =
                builder.stream(source, Consumed.with(Serdes.String(), Json.readings()));
        Produced<String, WindowResult> results = Produced.with(Serdes.String(), Json.results());
        switch (work) {
            case "a" ->
                    readings.processValues(() -> new Normalise(units, sourceId, announcer))
                            .to(output, Produced.with(Serdes.String(), Json.readings()));
            case "b" -> {
                builder.addStateStore(store(ROWS, Serdes.String(), Statistics.ROWS));
                readings.process(() -> new Statistics(announcer), ROWS);
            }
            case "c" -> {
                builder.addStateStore(store(ROWS, Serdes.String(), Windows.ROWS));
                readings.process(() -> new Windows(announcer), ROWS).to(output, results);
            }
            case "d" -> {
                builder.addStateStore(store(ROWS, Serdes.String(), Devices.ROWS));
                builder.addStateStore(store(RESULTS, Serdes.ByteArray(), Devices.RESULTS));
                builder.addStateStore(store(ORIGINS, Serdes.String(), Serdes.Long()));
                readings.process(() -> new Devices(announcer), ROWS, RESULTS, ORIGINS).to(output, results);
            }
            default -> throw new IllegalArgumentException("no workload " + work);
        }
        return builder.build();
    }

    private static <K, V> StoreBuilder<KeyValueStore<K, V>> store(String name, Serde<K> keys, Serde<V> values) {
        return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), keys, values)
                .withCachingEnabled()
                .withLoggingEnabled(Map.of());
    }
}
