package peers;

import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** Folds the events of each visitor. One event-time timer a visitor is set at a time, and set anew when it fires. */
final class Fold extends KeyedProcessFunction<String, Event, Update> implements Visitor.Out {
  private transient ValueState<Visitor> state;
  private transient StringBuilder text;
  private transient Update update;
  private transient Collector<Update> to;
  private transient String visitor;
  private transient int folded;

  @Override
  public void open(Configuration ignored) {
    state = getRuntimeContext().getState(new ValueStateDescriptor<>("visitor", Visitor.Serializer.INSTANCE));
    text = new StringBuilder(320);
    update = new Update();
  }

  @Override
  public void processElement(Event e, Context ctx, Collector<Update> out) throws Exception {
    to = out;
    visitor = e.visitor;
    Visitor v = state.value();
    if (v == null) {
      v = new Visitor();
      state.update(v);
    }
    // The heap backend gives out the object that it holds, and a copy of its own while a
    // checkpoint is written: what is changed in place is changed in the state.
    v.apply(e, this);
    arm(v, ctx);
    if (++folded == 256) {
      Progress.add(folded);
      folded = 0;
    }
  }

  @Override
  public void onTimer(long at, OnTimerContext ctx, Collector<Update> out) throws Exception {
    Visitor v = state.value();
    // The end of the input is no time that has passed.
    if (v == null || ctx.timerService().currentWatermark() == Long.MAX_VALUE) {
      return;
    }
    to = out;
    visitor = ctx.getCurrentKey();
    if (at == v.armed) {
      v.armed = 0;
    }
    v.advance(at, this);
    if (v.newest == 0) {
      state.clear();
    } else {
      arm(v, ctx);
    }
  }

  private static void arm(Visitor v, KeyedProcessFunction<String, Event, Update>.Context ctx) {
    long w = v.wake();
    if (w > 0 && (v.armed == 0 || w < v.armed)) {
      v.armed = w;
      ctx.timerService().registerEventTimeTimer(w);
    }
  }

  @Override
  public void update(Visitor v, long t) {
    update.key = visitor.getBytes(StandardCharsets.UTF_8);
    update.value = v.update(text, t);
    to.collect(update);
  }

  @Override
  public void close() {
    Progress.add(folded);
    folded = 0;
  }
}
