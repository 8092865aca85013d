package statelog.benchmark;

import java.nio.ByteBuffer;

/** Values, summed up; of a window, when it has a start. */
final class Summary {
    long start;
    long count;
    double sum;
    /** The sum of squared deviations from the mean, by Youngs and Cramer's updating. */
    double squares;
    double min;
    double max;

    void add(double value) {
        long before = count++;
        sum += value;
        if (before == 0) {
            min = max = value;
            return;
        }
        double deviation = count * value - sum;
        squares += deviation * deviation / ((double) count * before);
        min = Math.min(min, value);
        max = Math.max(max, value);
    }

    void writeStatistics(Bytes to) {
        to.put(count).put(sum).put(squares).put(min).put(max);
    }

    static Summary readStatistics(ByteBuffer from) {
        Summary summary = new Summary();
        summary.count = from.getLong();
        summary.sum = from.getDouble();
        summary.squares = from.getDouble();
        summary.min = from.getDouble();
        summary.max = from.getDouble();
        return summary;
    }

    void writeWindow(Bytes to) {
        to.put(start).put(count).put(sum).put(min).put(max);
    }

    static Summary readWindow(ByteBuffer from) {
        Summary window = new Summary();
        window.start = from.getLong();
        window.count = from.getLong();
        window.sum = from.getDouble();
        window.min = from.getDouble();
        window.max = from.getDouble();
        return window;
    }
}
