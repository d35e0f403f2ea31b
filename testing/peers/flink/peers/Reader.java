package peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;

/** Reads events as event.go and classify.go do; Jackson's stream makes no tree of them. */
final class Reader {
  private final JsonFactory json = new JsonFactory();
  private final Event e = new Event();
  private String name, type, stamp, pageType, category;
  private double depth, price, quantity, duration;

  /** The event, valid until the next call; null: the record is none. */
  Event read(byte[] value) {
    try (JsonParser p = json.createParser(value)) {
      if (p.nextToken() != JsonToken.START_OBJECT) {
        return null;
      }
      clear();
      while (p.nextToken() != JsonToken.END_OBJECT) {
        member(p);
      }
    } catch (IOException notJson) {
      return null;
    }
    e.at = millis(stamp);
    if (e.visitor.isEmpty() || type.isEmpty() || e.at <= 0) {
      return null;
    }
    classify();
    return e;
  }

  private void clear() {
    e.visitor = name = type = stamp = pageType = category = "";
    depth = price = duration = 0;
    quantity = 1;
    e.weight = 0;
    e.kind = Event.OTHER;
    e.element = e.device = e.network = 0;
  }

  private void member(JsonParser p) throws IOException {
    String key = p.currentName();
    JsonToken t = p.nextToken();
    switch (key) {
      case "type":
        type = text(p, t, type);
        break;
      case "event":
        name = text(p, t, name);
        break;
      case "anonymousId":
        e.visitor = text(p, t, e.visitor);
        break;
      case "timestamp":
        stamp = text(p, t, stamp);
        break;
      case "properties":
        for (boolean in = t == JsonToken.START_OBJECT; in && p.nextToken() != JsonToken.END_OBJECT; ) {
          property(p);
        }
        skip(p, t);
        break;
      case "context":
        for (boolean in = t == JsonToken.START_OBJECT; in && p.nextToken() != JsonToken.END_OBJECT; ) {
          context(p);
        }
        skip(p, t);
        break;
      default:
        p.skipChildren();
    }
  }

  /** Passes what is not the object that was expected. */
  private static void skip(JsonParser p, JsonToken t) throws IOException {
    if (t == JsonToken.START_ARRAY) {
      p.skipChildren();
    }
  }

  private void property(JsonParser p) throws IOException {
    String key = p.currentName();
    JsonToken t = p.nextToken();
    switch (key) {
      case "page_type":
        pageType = text(p, t, pageType);
        break;
      case "category":
        category = text(p, t, category);
        break;
      case "depth":
        depth = number(p, t, depth);
        break;
      case "price":
        price = number(p, t, price);
        break;
      case "quantity":
        quantity = number(p, t, quantity);
        break;
      case "duration_ms":
        duration = number(p, t, duration);
        break;
      case "element":
        e.element = oneOf(text(p, t, ""), e.element, "price", "features", 0);
        break;
      default:
        p.skipChildren();
    }
  }

  private void context(JsonParser p) throws IOException {
    String key = p.currentName();
    JsonToken t = p.nextToken();
    boolean device = key.equals("device");
    if (t != JsonToken.START_OBJECT || !device && !key.equals("network")) {
      p.skipChildren();
      return;
    }
    while (p.nextToken() != JsonToken.END_OBJECT) {
      String inner = p.currentName();
      t = p.nextToken();
      if (device && inner.equals("type")) {
        e.device = oneOf(text(p, t, ""), e.device, "mobile", null, 2);
      } else if (!device && inner.equals("effectiveType")) {
        e.network = oneOf(text(p, t, ""), e.network, "3g", null, 2);
      } else {
        p.skipChildren();
      }
    }
  }

  private static String text(JsonParser p, JsonToken t, String before) throws IOException {
    if (t == JsonToken.VALUE_STRING) {
      return p.getText();
    }
    p.skipChildren();
    return before;
  }

  private static double number(JsonParser p, JsonToken t, double before) throws IOException {
    if (t == JsonToken.VALUE_NUMBER_INT || t == JsonToken.VALUE_NUMBER_FLOAT) {
      return p.getDoubleValue();
    }
    p.skipChildren();
    return before;
  }

  private static byte oneOf(String text, byte before, String first, String second, int otherwise) {
    if (text.isEmpty()) {
      return before;
    }
    return (byte) (text.equals(first) ? 1 : text.equals(second) ? 2 : otherwise);
  }

  private void classify() {
    e.page = Tree.pageOf(pageType);
    e.price = within(price, 1e7);
    e.quantity = (long) within(quantity, 1e4);
    e.duration = (long) within(duration, 1e7);
    e.costly = price >= 500 && (under(category, "electronics") || under(category, "computers"));
    if (type.equals("page")) {
      e.kind = Event.PAGE;
      e.weight = 0.5;
    } else if (type.equals("track")) {
      track();
    }
  }

  private void track() {
    switch (name) {
      case "Page Scrolled":
        e.weight = 0.2;
        if (e.page == Tree.PRODUCT && depth > 0.7) {
          e.weight += 0.8;
        }
        break;
      case "Element Hovered":
        e.kind = Event.HOVER;
        e.weight = duration > 500 ? 0.3 : 0;
        break;
      case "Product Viewed":
        e.kind = Event.PRODUCT_VIEWED;
        e.weight = 2;
        break;
      case "Product Added":
        e.kind = Event.PRODUCT_ADDED;
        e.weight = 15;
        break;
      case "Product Removed":
        e.kind = Event.PRODUCT_REMOVED;
        break;
      case "Order Completed":
        e.kind = Event.ORDER;
        e.weight = 4;
        break;
      case "Checkout Started":
        e.weight = 6;
        break;
      case "Cart Viewed":
        e.weight = 2;
        break;
      case "Form Submitted":
        e.weight = 1.5;
        break;
      case "Video Completed":
        e.weight = 1;
        break;
      case "Element Clicked":
      case "Video Started":
      case "Form Started":
        e.weight = 0.5;
        break;
      case "Page Pinged":
        e.weight = 0.05;
        break;
      default:
    }
  }

  private static double within(double x, double limit) {
    return Math.min(Math.max(x, -limit), limit);
  }

  private static boolean under(String category, String name) {
    return category.startsWith(name) && (category.length() == name.length() || category.charAt(name.length()) == '/');
  }

  private static final String FORM = "0000-00-00T00:00:00.000Z";

  private static long millis(String s) {
    if (s.length() != FORM.length()) {
      return Long.MIN_VALUE;
    }
    for (int i = 0; i < FORM.length(); i++) {
      char f = FORM.charAt(i), c = s.charAt(i);
      if (f == '0' ? c < '0' || c > '9' : c != f) {
        return Long.MIN_VALUE;
      }
    }
    long month = digits(s, 5, 7), day = digits(s, 8, 10);
    long hour = digits(s, 11, 13), minute = digits(s, 14, 16), second = digits(s, 17, 19);
    if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59) {
      return Long.MIN_VALUE;
    }
    return ((days(digits(s, 0, 4), month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + digits(s, 20, 23);
  }

  private static long digits(String s, int from, int to) {
    long v = 0;
    for (int i = from; i < to; i++) {
      v = v * 10 + s.charAt(i) - '0';
    }
    return v;
  }

  private static long days(long year, long month, long day) {
    if (month <= 2) {
      year--;
      month += 12;
    }
    return 365 * year + year / 4 - year / 100 + year / 400 + (153 * (month - 3) + 2) / 5 + day - 719_469;
  }
}
