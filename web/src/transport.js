// Events wait in a queue that survives the page (in its tab) until the
// collector has them. Each has its messageId, so sending twice does no harm.

import { backoff, endpoint, iso, now, parse, session, warn, writeKey } from "./env.js";
import { allowed } from "./identity.js";

const SOON = 10, LATER = 1000; // ms until events go out
const FULL = 20; // so many do not wait
const MAX_EVENT = 32 << 10, MAX_QUEUE = 1000; // bytes, events
const MAX_BATCH = 60 << 10; // bytes: what browsers let outlive a page, and well below the collector's 500 KB

let queue = parse(session.get("queue"), []); // events as JSON
let timer, due = Infinity;
let sending, failures = 0, pauseUntil = 0;

const save = () => (queue.length ? session.set("queue", JSON.stringify(queue)) : session.remove("queue"));
const bytes = (s) => new Blob([s]).size;

// enqueue takes an event; soon sends it within SOON ms instead of LATER.
export function enqueue(event, soon) {
  const text = JSON.stringify(event);
  if (bytes(text) > MAX_EVENT) return warn("over 32 KB:", event.event || event.type);
  queue.push(text);
  if (queue.length > MAX_QUEUE) queue = queue.slice(-MAX_QUEUE);
  save();
  plan(soon || queue.length >= FULL ? SOON : LATER);
}

// plan has the queue sent in ms, or earlier where that is planned already.
function plan(ms) {
  const at = Math.max(now() + ms, pauseUntil);
  if (at >= due) return;
  due = at;
  clearTimeout(timer);
  timer = setTimeout(flush, at - now());
}

// batches cuts events so that each batch has at most MAX_BATCH bytes.
function batches(events) {
  const out = [];
  let size = Infinity;
  for (const text of events) {
    const n = bytes(text) + 1;
    if (size + n > MAX_BATCH) {
      out.push([]);
      size = 200; // the envelope
    }
    out[out.length - 1].push(text);
    size += n;
  }
  return out;
}

const envelope = (batch) => `{"sentAt":"${iso()}","writeKey":${JSON.stringify(writeKey)},"batch":[${batch}]}`;

function done(batch) {
  queue = queue.filter((text) => !batch.includes(text));
  save();
}

// flush sends what is queued, one batch after the other.
export async function flush() {
  clearTimeout(timer);
  due = Infinity;
  if (sending || !allowed()) return;
  if (pauseUntil > now()) return plan(0);
  while (!pauseUntil && (sending = batches(queue)[0])) await post(sending);
  sending = null;
  if (queue.length) plan(SOON);
}

// post: 429, 5xx and a network that is down are tried again after a while;
// another refusal would be repeated for ever.
async function post(batch) {
  let r;
  try {
    // text/plain needs no preflight; the collector reads bodies as what they are.
    r = await fetch(endpoint + "/v1/batch", { method: "POST", body: envelope(batch), keepalive: true, credentials: "omit" });
  } catch {}
  if (r?.status < 500 && r.status !== 429) {
    if (!r.ok) warn("refused:", r.status);
    done(batch);
    failures = 0;
    return;
  }
  // Retry-After in seconds; its other form, a date, is the clock's of who knows whom.
  const wait = r?.headers.get("Retry-After") * 1000 || backoff(failures);
  failures++;
  pauseUntil = now() + wait;
  setTimeout(() => { pauseUntil = 0; flush(); }, wait);
}

// leave hands the queue to the browser, which sends it when the page is gone.
// What is on its way outlives the page by itself. Where the collector was
// failing the queue is kept as well, for the tab's next page.
export function leave() {
  if (!allowed()) return;
  for (const batch of batches(queue.filter((text) => !sending?.includes(text)))) {
    if (navigator.sendBeacon(endpoint + "/v1/batch", envelope(batch)) && !failures) done(batch);
  }
}

export function clear() {
  queue = [];
  save();
}
