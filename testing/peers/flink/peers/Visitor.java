package peers;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** All that the kernel keeps of a visitor, and what it does, as visitor.go. */
final class Visitor {
  static final long GAP = 30 * 60_000, DWELL_CAP = 30_000, IDLE_AFTER = 60_000, LATENESS = 10 * 60_000, FORGET = 24 * 60 * 60_000;

  double live, longer, value;
  long newest, start, events, pages, comparison, costly, price, features, items, changed, armed;
  byte page, device, network, path;
  boolean onCostly, idle;

  /** Told of each update: the visitor, as of a time. */
  interface Out {
    void update(Visitor v, long t);
  }

  void apply(Event e, Out out) {
    advance(e.at, out);
    if (newest > 0 && e.at < newest - LATENESS) {
      return;
    }
    weigh(e);
    boolean began = start == 0;
    if (began) {
      if (e.at < newest) {
        return;
      }
      start = e.at;
    }
    start = Math.min(start, e.at);
    events++;
    act(e, e.at >= newest);
    newest = Math.max(newest, e.at);
    byte now = Tree.evaluate(this, newest);
    if (began || now != path) {
      path = now;
      out.update(this, newest);
    }
  }

  private void weigh(Event e) {
    double d = e.at - newest;
    if (d < 0) {
      live += e.weight * Decay.half(-d / Decay.LIVE_HALF_LIFE);
      longer += e.weight * Decay.half(-d / Decay.LONG_HALF_LIFE);
      return;
    }
    if (newest > 0) {
      live = live * Decay.half(d / Decay.LIVE_HALF_LIFE);
      longer = longer * Decay.half(d / Decay.LONG_HALF_LIFE);
    }
    live += e.weight;
    longer += e.weight;
  }

  private void act(Event e, boolean inOrder) {
    if (inOrder) {
      dwell(e.at);
      idle = false;
      device = e.device > 0 ? e.device : device;
      network = e.network > 0 ? e.network : network;
    }
    switch (e.kind) {
      case Event.PAGE:
        pages++;
        if (inOrder) {
          page = e.page;
          onCostly = false;
        }
        break;
      case Event.HOVER:
        price += e.element == 1 ? e.duration : 0;
        features += e.element == 2 ? e.duration : 0;
        break;
      case Event.PRODUCT_VIEWED:
        onCostly |= inOrder && e.costly;
        break;
      case Event.PRODUCT_ADDED:
        put(e, e.quantity);
        break;
      case Event.PRODUCT_REMOVED:
        put(e, -e.quantity);
        break;
      case Event.ORDER:
        items = 0;
        value = 0;
        changed = Math.max(changed, e.at);
        break;
      default:
    }
  }

  private void dwell(long at) {
    if (events == 1) {
      return;
    }
    long d = Math.min(at - newest, DWELL_CAP);
    comparison += page == Tree.COMPARISON ? d : 0;
    costly += onCostly ? d : 0;
  }

  private void put(Event e, long n) {
    items = Math.max(0, items + n);
    value = Math.max(0, value + e.price * n);
    changed = Math.max(changed, e.at);
  }

  double intent(long t) {
    return 1 - Decay.half(live * Decay.half((t - newest) / Decay.LIVE_HALF_LIFE) / Decay.KAPPA);
  }

  /** When time alone changes something next; 0: never. */
  long wake() {
    if (newest == 0) {
      return 0;
    }
    if (start == 0) {
      return newest + FORGET;
    }
    return newest + (items > 0 && !idle ? IDLE_AFTER : GAP);
  }

  void advance(long t, Out out) {
    for (long w = wake(); w != 0 && w <= t; w = wake()) {
      if (start == 0) {
        clear();
        out.update(this, 0);
      } else if (w == newest + IDLE_AFTER) {
        idle = true;
        byte now = Tree.evaluate(this, w);
        if (now != path) {
          path = now;
          out.update(this, w);
        }
      } else {
        start = events = pages = comparison = costly = price = features = 0;
        page = Tree.UNKNOWN;
        onCostly = false;
        path = Tree.evaluate(this, w);
        out.update(this, w);
      }
    }
  }

  /** As new, but for the timers that are set. */
  private void clear() {
    live = longer = value = 0;
    newest = start = events = pages = comparison = costly = price = features = items = changed = 0;
    page = device = network = path = 0;
    onCostly = idle = false;
  }

  /** What the topic of updates says as of t; null of one who is forgotten. */
  byte[] update(StringBuilder b, long t) {
    if (newest == 0) {
      return null;
    }
    b.setLength(0);
    b.append("{\"path\":\"").append(Tree.PATHS[path]).append("\",\"at\":").append(t).append(",\"newest\":").append(newest);
    b.append(",\"session\":").append(start).append(",\"events\":").append(events).append(",\"pages\":").append(pages);
    b.append(",\"comparison_ms\":").append(comparison).append(",\"costly_ms\":").append(costly);
    b.append(",\"price_ms\":").append(price).append(",\"features_ms\":").append(features);
    b.append(",\"intent\":").append((long) (intent(t) * 1e6));
    b.append(",\"long\":").append((long) (longer * Decay.half((t - newest) / Decay.LONG_HALF_LIFE) * 1e6));
    b.append(",\"cart\":").append(items).append(",\"value\":").append((long) (value * 100)).append('}');
    return b.toString().getBytes(StandardCharsets.ISO_8859_1);
  }

  /** Used by checkpoints alone: the state lives as objects. */
  static final class Serializer extends Plain<Visitor> {
    static final Serializer INSTANCE = new Serializer();

    @Override
    public Visitor createInstance() {
      return new Visitor();
    }

    @Override
    public Visitor copy(Visitor f) {
      Visitor v = new Visitor();
      v.live = f.live;
      v.longer = f.longer;
      v.value = f.value;
      v.newest = f.newest;
      v.start = f.start;
      v.events = f.events;
      v.pages = f.pages;
      v.comparison = f.comparison;
      v.costly = f.costly;
      v.price = f.price;
      v.features = f.features;
      v.items = f.items;
      v.changed = f.changed;
      v.armed = f.armed;
      v.page = f.page;
      v.device = f.device;
      v.network = f.network;
      v.path = f.path;
      v.onCostly = f.onCostly;
      v.idle = f.idle;
      return v;
    }

    @Override
    public void serialize(Visitor v, DataOutputView out) throws IOException {
      for (double d : new double[] {v.live, v.longer, v.value}) {
        out.writeDouble(d);
      }
      for (long n : new long[] {v.newest, v.start, v.events, v.pages, v.comparison, v.costly, v.price, v.features, v.items, v.changed, v.armed}) {
        out.writeLong(n);
      }
      out.write(new byte[] {v.page, v.device, v.network, v.path});
      out.writeBoolean(v.onCostly);
      out.writeBoolean(v.idle);
    }

    @Override
    public Visitor deserialize(Visitor v, DataInputView in) throws IOException {
      v.live = in.readDouble();
      v.longer = in.readDouble();
      v.value = in.readDouble();
      v.newest = in.readLong();
      v.start = in.readLong();
      v.events = in.readLong();
      v.pages = in.readLong();
      v.comparison = in.readLong();
      v.costly = in.readLong();
      v.price = in.readLong();
      v.features = in.readLong();
      v.items = in.readLong();
      v.changed = in.readLong();
      v.armed = in.readLong();
      v.page = in.readByte();
      v.device = in.readByte();
      v.network = in.readByte();
      v.path = in.readByte();
      v.onCostly = in.readBoolean();
      v.idle = in.readBoolean();
      return v;
    }

    @Override
    public TypeSerializerSnapshot<Visitor> snapshotConfiguration() {
      return new Snapshot();
    }

    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Visitor> {
      public Snapshot() {
        super(() -> INSTANCE);
      }
    }
  }
}
