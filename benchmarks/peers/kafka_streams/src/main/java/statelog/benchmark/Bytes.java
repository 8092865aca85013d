package statelog.benchmark;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.function.BiConsumer;
import java.util.function.Function;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** Rows as compact bytes: what somebody does who has seen that a store's JSON is most of its cost. */
final class Bytes {
    private static final ThreadLocal<Bytes> OWN = ThreadLocal.withInitial(Bytes::new);

    private ByteBuffer buffer = ByteBuffer.allocate(4096);

    static <T> Serde<T> serde(BiConsumer<T, Bytes> write, Function<ByteBuffer, T> read) {
        return Serdes.serdeFrom(
                (topic, value) -> {
                    if (value == null) {
                        return null;
                    }
                    Bytes bytes = OWN.get();
                    bytes.buffer.clear();
                    write.accept(value, bytes);
                    return Arrays.copyOf(bytes.buffer.array(), bytes.buffer.position());
                },
                (topic, data) -> data == null ? null : read.apply(ByteBuffer.wrap(data)));
    }

    private ByteBuffer room(int size) {
        if (buffer.remaining() < size) {
            buffer = ByteBuffer.allocate(2 * buffer.capacity() + size).put(buffer.flip());
        }
        return buffer;
    }

    Bytes put(long value) {
        room(8).putLong(value);
        return this;
    }

    Bytes put(double value) {
        room(8).putDouble(value);
        return this;
    }

    Bytes putCount(int value) {
        room(2).putShort((short) value);
        return this;
    }

    Bytes put(String value) {
        byte[] encoded = value.getBytes(StandardCharsets.UTF_8);
        room(1 + encoded.length).put((byte) encoded.length).put(encoded);
        return this;
    }

    static int count(ByteBuffer from) {
        return from.getShort();
    }

    static String string(ByteBuffer from) {
        int length = from.get();
        String value = new String(from.array(), from.position(), length, StandardCharsets.UTF_8);
        from.position(from.position() + length);
        return value;
    }
}
