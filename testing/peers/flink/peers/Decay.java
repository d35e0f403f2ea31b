package peers;

/** Powers of 1/2, to the same bit as decay.go, which says why. */
final class Decay {
  static final double LIVE_HALF_LIFE = 10 * 60_000.0;
  static final double LONG_HALF_LIFE = 2 * 60 * 60_000.0;
  static final double KAPPA = 10.0;
  private static final int STEPS = 32;
  private static final double LN2 = 0.693147180559945309417232121458176568;
  private static final double[] HALVES = halves();

  private Decay() {}

  private static double[] halves() {
    double[] t = new double[STEPS];
    java.util.Arrays.fill(t, 1);
    double root = 0.5;
    for (int bit = STEPS / 2; bit > 0; bit /= 2) {
      root = Math.sqrt(root);
      for (int k = 0; k < STEPS; k++) {
        if ((k & bit) != 0) {
          t[k] *= root;
        }
      }
    }
    return t;
  }

  /** 2^-x for x >= 0. */
  static double half(double x) {
    if (x >= 1000) {
      return 0;
    }
    long n = (long) x;
    double f = (x - n) * STEPS;
    int k = (int) f;
    double y = (f - k) * (LN2 / STEPS);
    double p = 1 - y * (1 - y / 2 * (1 - y / 3 * (1 - y / 4 * (1 - y / 5))));
    return HALVES[k] * p * Double.longBitsToDouble((1023 - n) << 52);
  }
}
