package peers;

/** The tree of segments, as tree.go has it. */
final class Tree {
  static final byte UNKNOWN = 0, HOME = 1, CONTENT = 2, OTHER = 3, PRODUCT = 4, COMPARISON = 5, NONE = 6;

  static final String[] PATHS = {
    "everyone",
    "everyone/high_intent",
    "everyone/high_intent/high_ticket_retarget",
    "everyone/high_intent/cart_abandoner",
    "everyone/high_intent/price_sensitive_analyzer",
    "everyone/high_intent/price_sensitive",
    "everyone/high_intent/mobile_low_time",
    "everyone/medium_intent",
    "everyone/medium_intent/price_sensitive_analyzer",
    "everyone/medium_intent/mobile_3g",
    "everyone/low_intent",
    "everyone/low_intent/price_sensitive_analyzer",
    "everyone/low_intent/mobile_3g",
    "everyone/price_sensitive_analyzer",
  };

  private Tree() {}

  static byte pageOf(String type) {
    switch (type) {
      case "":
        return UNKNOWN;
      case "home":
        return HOME;
      case "content":
        return CONTENT;
      case "product":
        return PRODUCT;
      case "comparison":
        return COMPARISON;
      case "list":
      case "search":
      case "cart":
      case "checkout":
      case "confirmation":
        return NONE;
      default:
        return OTHER;
    }
  }

  static byte evaluate(Visitor v, long t) {
    double intent = v.intent(t);
    boolean analyzer = v.comparison >= 90_000 && v.price > 0 && v.features > 0;
    boolean slow = v.device == 1 && v.network == 1;
    if (intent > 0.75 || v.items > 0 && t - v.changed < Visitor.FORGET) {
      return highIntent(v, t, intent, analyzer);
    }
    if (intent > 0.4) {
      return choose(7, analyzer, slow);
    }
    if (intent > 0.05) {
      return choose(10, analyzer, slow);
    }
    return (byte) (analyzer ? 13 : 0);
  }

  private static byte highIntent(Visitor v, long t, double intent, boolean analyzer) {
    boolean leaves = v.items > 0 && (t - v.newest >= Visitor.IDLE_AFTER || v.page == HOME || v.page == CONTENT || v.page == OTHER);
    if (leaves && v.costly >= 480_000) {
      return 2;
    }
    if (leaves && v.comparison >= 90_000) {
      return 3;
    }
    if (analyzer) {
      return 4;
    }
    if (intent > 0.75 && v.value > 100) {
      return 5;
    }
    return (byte) (v.device == 1 && v.newest - v.start < 120_000 ? 6 : 1);
  }

  private static byte choose(int layer, boolean analyzer, boolean slow) {
    return (byte) (analyzer ? layer + 1 : slow ? layer + 2 : layer);
  }
}
