package peers;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.KafkaSourceBuilder;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Sessions, decayed signals and the tree as a hand-written Flink job, in a MiniCluster of this JVM. */
public final class Job {
  private static final TypeInformation<Event> EVENTS = new Type<>(Event.class, Event.Serializer.INSTANCE);
  private static final TypeInformation<Update> UPDATES = new Type<>(Update.class, Update.Serializer.INSTANCE);

  private Job() {}

  public static void main(String[] args) throws Exception {
    Map<String, String> o = new HashMap<>();
    for (int i = 0; i + 1 < args.length; i += 2) {
      o.put(args[i].substring(2), args[i + 1]);
    }
    Progress.expected = Long.parseLong(o.get("expect"));
    boolean quick = o.get("quick").equals("true");
    StreamExecutionEnvironment env = environment(o, quick);
    env.fromSource(source(o), watermarks(), "events", EVENTS)
        .keyBy(e -> e.visitor, Types.STRING)
        .process(new Fold())
        .returns(UPDATES)
        .sinkTo(sink(o, quick));
    env.execute("peers");
  }

  private static StreamExecutionEnvironment environment(Map<String, String> o, boolean quick) {
    Configuration c = new Configuration();
    c.setString("pipeline.object-reuse", "true");
    c.setString("pipeline.generic-types", "false");
    c.setString("execution.buffer-timeout.interval", quick ? "1 ms" : "100 ms");
    c.setString("execution.checkpointing.interval", "10 s");
    c.setString("execution.checkpointing.dir", "file://" + o.get("dir") + "/checkpoints");
    c.setString("state.backend.type", "hashmap");
    c.setString("metrics.latency.interval", "0");
    return StreamExecutionEnvironment.createLocalEnvironment(Integer.parseInt(o.get("parallelism")), c);
  }

  private static KafkaSource<Event> source(Map<String, String> o) {
    KafkaSourceBuilder<Event> b =
        KafkaSource.<Event>builder()
            .setBootstrapServers(o.get("brokers"))
            .setTopics(o.get("events"))
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setProperty("max.poll.records", "5000")
            .setProperty("max.partition.fetch.bytes", "4194304")
            .setProperty("receive.buffer.bytes", "1048576")
            .setDeserializer(new Decode());
    if (o.get("bounded").equals("true")) {
      b.setBounded(OffsetsInitializer.latest());
    }
    return b.build();
  }

  private static KafkaSink<Update> sink(Map<String, String> o, boolean quick) {
    String topic = o.get("updates");
    return KafkaSink.<Update>builder()
        .setBootstrapServers(o.get("brokers"))
        .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
        .setProperty("linger.ms", quick ? "0" : "5")
        .setProperty("batch.size", "262144")
        .setProperty("buffer.memory", "67108864")
        .setRecordSerializer((KafkaRecordSerializationSchema<Update>) (u, context, at) -> new ProducerRecord<>(topic, u.key, u.value))
        .build();
  }

  /** A watermark for each second of event time, at once: Flink's own come by the clock of the machine. */
  private static WatermarkStrategy<Event> watermarks() {
    return WatermarkStrategy.<Event>forGenerator(context -> new Marks()).withTimestampAssigner((e, at) -> e.at);
  }

  private static final class Marks implements WatermarkGenerator<Event> {
    private static final long DISORDER = 5_000, STEP = 1_000;
    private long told = Long.MIN_VALUE;

    @Override
    public void onEvent(Event e, long at, WatermarkOutput out) {
      long mark = at - DISORDER - 1;
      if (told == Long.MIN_VALUE || mark >= told + STEP) {
        told = mark;
        out.emitWatermark(new Watermark(mark));
      }
    }

    @Override
    public void onPeriodicEmit(WatermarkOutput out) {}
  }

  /** Reads records where they are fetched; the event is written to its network channel before the next is read. */
  private static final class Decode implements KafkaRecordDeserializationSchema<Event> {
    private transient Reader reader;

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Event> out) {
      if (reader == null) {
        reader = new Reader();
      }
      Event e = record.value() == null ? null : reader.read(record.value());
      if (e != null) {
        out.collect(e);
      } else {
        Progress.add(1);
      }
    }

    @Override
    public TypeInformation<Event> getProducedType() {
      return EVENTS;
    }
  }
}
