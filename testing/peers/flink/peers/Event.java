package peers;

import java.io.IOException;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.types.StringValue;

/** What the kernel reads of a record; the narrow form that crosses the network by visitor. */
final class Event {
  static final byte OTHER = 0, PAGE = 1, HOVER = 2, PRODUCT_VIEWED = 3, PRODUCT_ADDED = 4, PRODUCT_REMOVED = 5, ORDER = 6;

  String visitor;
  long at;
  double weight;
  double price;
  long quantity;
  long duration;
  byte kind;
  byte page;
  byte element;
  byte device;
  byte network;
  boolean costly;

  /** Events cross the network by hand-written bytes, and nothing is copied within a task. */
  static final class Serializer extends Plain<Event> {
    static final Serializer INSTANCE = new Serializer();

    @Override
    public Event createInstance() {
      return new Event();
    }

    @Override
    public Event copy(Event from) {
      Event e = new Event();
      e.visitor = from.visitor;
      e.at = from.at;
      e.weight = from.weight;
      e.price = from.price;
      e.quantity = from.quantity;
      e.duration = from.duration;
      e.kind = from.kind;
      e.page = from.page;
      e.element = from.element;
      e.device = from.device;
      e.network = from.network;
      e.costly = from.costly;
      return e;
    }

    @Override
    public void serialize(Event e, DataOutputView out) throws IOException {
      StringValue.writeString(e.visitor, out);
      out.writeLong(e.at);
      out.writeDouble(e.weight);
      out.writeInt(e.kind | e.page << 8 | e.element << 16 | e.device << 20 | e.network << 24 | (e.costly ? 1 << 28 : 0));
      if (e.kind == HOVER) {
        out.writeLong(e.duration);
      } else if (e.kind == PRODUCT_ADDED || e.kind == PRODUCT_REMOVED) {
        out.writeDouble(e.price);
        out.writeLong(e.quantity);
      }
    }

    @Override
    public Event deserialize(Event e, DataInputView in) throws IOException {
      e.visitor = StringValue.readString(in);
      e.at = in.readLong();
      e.weight = in.readDouble();
      int bits = in.readInt();
      e.kind = (byte) bits;
      e.page = (byte) (bits >> 8);
      e.element = (byte) (bits >> 16 & 15);
      e.device = (byte) (bits >> 20 & 15);
      e.network = (byte) (bits >> 24 & 15);
      e.costly = (bits >> 28 & 1) != 0;
      e.duration = e.kind == HOVER ? in.readLong() : 0;
      boolean cart = e.kind == PRODUCT_ADDED || e.kind == PRODUCT_REMOVED;
      e.price = cart ? in.readDouble() : 0;
      e.quantity = cart ? in.readLong() : 0;
      return e;
    }

    @Override
    public org.apache.flink.api.common.typeutils.TypeSerializerSnapshot<Event> snapshotConfiguration() {
      return new Snapshot();
    }

    public static final class Snapshot extends org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot<Event> {
      public Snapshot() {
        super(() -> INSTANCE);
      }
    }
  }
}
