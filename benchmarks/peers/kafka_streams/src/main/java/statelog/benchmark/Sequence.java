package statelog.benchmark;

import java.nio.ByteBuffer;

/** Which numbers of a metric were seen: the greatest, and which of the 64 up to it are missing (RFC 4303, A2). */
final class Sequence {
    enum Verdict {
        NEW,
        RESTART,
        DUPLICATE,
        TOO_OLD
    }

    private static final int REMEMBERED = 64;
    private static final long ONLY_ONE = ~1L;

    private long greatest = -1;
    private long missing = ~0L;

    Verdict judge(long seq, boolean newer) {
        long ahead = seq - greatest;
        if (ahead > 0) {
            missing = ahead < REMEMBERED ? missing << ahead | (1L << ahead) - 2 : ONLY_ONE;
            greatest = seq;
            return Verdict.NEW;
        }
        if (newer) {
            greatest = seq;
            missing = ONLY_ONE;
            return Verdict.RESTART;
        }
        if (ahead <= -REMEMBERED) {
            return Verdict.TOO_OLD;
        }
        long bit = 1L << -ahead;
        if ((missing & bit) == 0) {
            return Verdict.DUPLICATE;
        }
        missing ^= bit;
        return Verdict.NEW;
    }

    void write(Bytes to) {
        to.put(greatest).put(missing);
    }

    static Sequence read(ByteBuffer from) {
        Sequence sequence = new Sequence();
        sequence.greatest = from.getLong();
        sequence.missing = from.getLong();
        return sequence;
    }
}
