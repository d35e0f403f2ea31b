package peers;

import org.apache.flink.api.common.ExecutionConfig;
import org.apache.flink.api.common.serialization.SerializerConfig;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.TypeSerializer;

/** Tells Flink of a class that has a serializer of its own. */
final class Type<T> extends TypeInformation<T> {
  private final Class<T> of;
  private final Plain<T> serializer;

  Type(Class<T> of, Plain<T> serializer) {
    this.of = of;
    this.serializer = serializer;
  }

  @Override
  public boolean isBasicType() {
    return false;
  }

  @Override
  public boolean isTupleType() {
    return false;
  }

  @Override
  public int getArity() {
    return 1;
  }

  @Override
  public int getTotalFields() {
    return 1;
  }

  @Override
  public Class<T> getTypeClass() {
    return of;
  }

  @Override
  public boolean isKeyType() {
    return false;
  }

  @Override
  public TypeSerializer<T> createSerializer(SerializerConfig config) {
    return serializer;
  }

  @Override
  @Deprecated
  public TypeSerializer<T> createSerializer(ExecutionConfig config) {
    return serializer;
  }

  @Override
  public String toString() {
    return of.getSimpleName();
  }

  @Override
  public boolean equals(Object o) {
    return o instanceof Type && ((Type<?>) o).of == of;
  }

  @Override
  public int hashCode() {
    return of.hashCode();
  }

  @Override
  public boolean canEqual(Object o) {
    return o instanceof Type;
  }
}
