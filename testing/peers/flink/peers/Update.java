package peers;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** A record of the topic of updates, on its way within the task that made it. */
final class Update {
  byte[] key;
  byte[] value; // null: the visitor is forgotten

  /** Flink wants one; the sink is chained, so it is not used. */
  static final class Serializer extends Plain<Update> {
    static final Serializer INSTANCE = new Serializer();

    @Override
    public Update createInstance() {
      return new Update();
    }

    @Override
    public Update copy(Update from) {
      Update u = new Update();
      u.key = from.key;
      u.value = from.value;
      return u;
    }

    @Override
    public void serialize(Update u, DataOutputView out) throws IOException {
      out.writeInt(u.key.length);
      out.write(u.key);
      out.writeInt(u.value == null ? -1 : u.value.length);
      if (u.value != null) {
        out.write(u.value);
      }
    }

    @Override
    public Update deserialize(Update u, DataInputView in) throws IOException {
      u.key = new byte[in.readInt()];
      in.readFully(u.key);
      int n = in.readInt();
      u.value = n < 0 ? null : new byte[n];
      if (n > 0) {
        in.readFully(u.value);
      }
      return u;
    }

    @Override
    public TypeSerializerSnapshot<Update> snapshotConfiguration() {
      return new Snapshot();
    }

    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Update> {
      public Snapshot() {
        super(() -> INSTANCE);
      }
    }
  }
}
