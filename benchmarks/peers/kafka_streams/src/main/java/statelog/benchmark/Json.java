package statelog.benchmark;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.StreamWriteFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.module.blackbird.BlackbirdModule;
import java.io.IOException;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** JSON by Jackson, with what makes it fast: Blackbird, its fast doubles, readers and writers that are made once. */
final class Json {
    private static final ObjectMapper MAPPER =
            new ObjectMapper(
                            JsonFactory.builder()
                                    .enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER)
                                    .enable(StreamWriteFeature.USE_FAST_DOUBLE_WRITER)
                                    .build())
                    .registerModule(new BlackbirdModule())
                    .setSerializationInclusion(JsonInclude.Include.ALWAYS)
                    .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);
    private static final ObjectReader READINGS = MAPPER.readerFor(Reading.class);
    private static final ObjectWriter WRITER = MAPPER.writer();

    private Json() {}

    /** A value that is no reading comes as null, and is dropped: one bad message must not stop the good ones. */
    static Serde<Reading> readings() {
        return Serdes.serdeFrom((topic, reading) -> write(reading), (topic, data) -> read(data));
    }

    static Serde<WindowResult> results() {
        return Serdes.serdeFrom(
                (topic, result) -> write(result),
                (topic, data) -> {
                    throw new UnsupportedOperationException("results are only written");
                });
    }

    private static Reading read(byte[] data) {
        if (data == null) {
            return null;
        }
        try {
            return READINGS.readValue(data);
        } catch (IOException error) {
            return null;
        }
    }

    private static byte[] write(Object value) {
        try {
            return WRITER.writeValueAsBytes(value);
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }
}
