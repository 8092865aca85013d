package statelog.benchmark;

import com.fasterxml.jackson.annotation.JsonFormat;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import java.util.Map;

/** Telemetry, and what it becomes: then the unit is canonical and the origin is there. */
@JsonPropertyOrder({"device_id", "metric", "value", "unit", "event_time", "seq", "tags", "origin"})
public final class Reading {
    @JsonProperty("device_id") public String deviceId;
    @JsonProperty("metric") public String metric;
    @JsonProperty("value") public Double value;
    @JsonProperty("unit") public String unit;
    @JsonProperty("event_time") public Long eventTime;
    @JsonProperty("seq") public Long seq;
    @JsonProperty("tags") public Map<String, String> tags;
    @JsonProperty("origin") public Origin origin;

    /** The telemetry record that a reading was made from. */
    @JsonFormat(shape = JsonFormat.Shape.ARRAY)
    @JsonPropertyOrder({"topicId", "partition", "offset"})
    public static final class Origin {
        public String topicId;
        public int partition;
        public long offset;
    }
}
