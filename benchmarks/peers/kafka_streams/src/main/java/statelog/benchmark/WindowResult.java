package statelog.benchmark;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;

/** A window's final result. */
@JsonPropertyOrder({
    "device_id", "metric", "unit", "window_start", "window_end", "count", "sum", "min", "max", "mean"
})
public final class WindowResult {
    @JsonProperty("device_id") public final String deviceId;
    @JsonProperty("metric") public final String metric;
    @JsonProperty("unit") public final String unit;
    @JsonProperty("window_start") public final long start;
    @JsonProperty("window_end") public final long end;
    @JsonProperty("count") public final long count;
    @JsonProperty("sum") public final double sum;
    @JsonProperty("min") public final double min;
    @JsonProperty("max") public final double max;
    @JsonProperty("mean") public final double mean;

    WindowResult(String deviceId, String metric, String unit, Summary window, long lengthMs) {
        this.deviceId = deviceId;
        this.metric = metric;
        this.unit = unit;
        this.start = window.start;
        this.end = window.start + lengthMs;
        this.count = window.count;
        this.sum = window.sum;
        this.min = window.min;
        this.max = window.max;
        this.mean = window.sum / window.count;
    }
}
