package statelog.benchmark;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** A metric's windows that still take readings, by start. */
final class OpenWindows {
    static final long WINDOW_MS = 60_000;
    static final long OPEN_MS = WINDOW_MS + 30_000;

    final List<Summary> windows = new ArrayList<>(3);

    /** Adds a value; false when its window has closed. */
    boolean add(long time, double value, long clock) {
        long start = time - Math.floorMod(time, WINDOW_MS);
        if (start + OPEN_MS <= clock) {
            return false;
        }
        int place = windows.size();
        while (place > 0 && windows.get(place - 1).start > start) {
            place--;
        }
        if (place > 0 && windows.get(place - 1).start == start) {
            windows.get(place - 1).add(value);
            return true;
        }
        Summary window = new Summary();
        window.start = start;
        window.add(value);
        windows.add(place, window);
        return true;
    }

    boolean due(long clock) {
        return !windows.isEmpty() && windows.get(0).start + OPEN_MS <= clock;
    }

    Summary close() {
        return windows.remove(0);
    }

    void write(Bytes to) {
        to.putCount(windows.size());
        for (Summary window : windows) {
            window.writeWindow(to);
        }
    }

    static OpenWindows read(ByteBuffer from) {
        OpenWindows open = new OpenWindows();
        for (int left = Bytes.count(from); left > 0; left--) {
            open.windows.add(Summary.readWindow(from));
        }
        return open;
    }
}
