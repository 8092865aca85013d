package statelog.benchmark;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** The conversions of the unit registry: unit, canonical unit, shift, multiplier and divisor, a line each. */
final class Units {
    record Conversion(String unit, double shift, double multiplier, double divisor) {
        double apply(double value) {
            return (value + shift) * multiplier / divisor + 0.0;
        }
    }

    private final Map<String, Conversion> bySpelling = new HashMap<>();

    Units(Path table) throws IOException {
        for (String line : Files.readAllLines(table)) {
            String[] cells = line.split("\t");
            bySpelling.put(
                    cells[0],
                    new Conversion(
                            cells[1],
                            Double.parseDouble(cells[2]),
                            Double.parseDouble(cells[3]),
                            Double.parseDouble(cells[4])));
        }
    }

    Conversion get(String spelling) {
        return bySpelling.get(spelling);
    }
}
