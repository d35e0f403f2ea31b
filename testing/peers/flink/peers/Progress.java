package peers;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.concurrent.atomic.AtomicLong;

/** Tells on standard output when the first record, half of them and all have been folded. */
final class Progress {
  static long expected;
  private static final OperatingSystemMXBean OS = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
  private static final AtomicLong FOLDED = new AtomicLong();

  private Progress() {}

  static void add(long n) {
    if (n == 0) {
      return;
    }
    long now = FOLDED.addAndGet(n);
    for (long mark : new long[] {1, (expected + 1) / 2, expected}) {
      if (mark > 0 && now >= mark && now - n < mark) {
        System.out.println("{\"records\":" + now + ",\"at\":" + System.currentTimeMillis() + ",\"cpu_ms\":" + OS.getProcessCpuTime() / 1_000_000 + "}");
      }
    }
  }
}
