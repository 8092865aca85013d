package statelog.benchmark;

import java.util.concurrent.atomic.AtomicBoolean;

/** Says when the first record of a pass has come. */
final class Announcer {
    private final AtomicBoolean said = new AtomicBoolean();

    void began() {
        if (!said.get() && said.compareAndSet(false, true)) {
            System.out.println("began");
            System.out.flush();
        }
    }
}
