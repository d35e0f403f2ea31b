// One page view at a time: the page call, the heartbeat while someone reads,
// and how far and how fast the page was scrolled.

import { doc, emit, now, on, route, whenParsed } from "./env.js";
import { allowed } from "./identity.js";
import { build, pageNow } from "./event.js";
import { redeem } from "./offers.js";
import { enqueue, leave as sendRest } from "./transport.js";

const BEATS = [5, 5, 5]; // s between the first heartbeats, then BEAT
const BEAT = 15;
const ATTENTION = 30_000; // ms without any input after which nobody is there
const MARKS = [0.25, 0.5, 0.6, 0.7, 0.75, 0.9, 1]; // depths that are told when they are reached
const LAZY = { "Page Pinged": 1, "Element Clicked": 1 };

// Of the page that is shown:
let page; // as events state it; none before its page call
let begun, beat, timer; // when it began, its last heartbeat, the next one
let counted, input, quiet; // time is told up to here (Infinity: hidden); last input; nobody is there
let depth, told, half; // deepest scroll, what was told of it, s until half of the page
let moved, lastY, lastAt; // scrolled since it was told, and from where and when
let subject; // the product or category that the last event was about
const leaving = []; // what ends with a view (hovers, focus)
const entering = [];

// onLeave and onEnter have fn called when a view ends, and after its page call.
export const onLeave = (fn) => leaving.push(fn);
export const onEnter = (fn) => entering.push(fn);

// track sends an event about the page that is shown.
export function track(name, properties) {
  if (!allowed()) return;
  const { category, product_id } = properties || {};
  if (category) subject = { category, product_id, name: properties.name };
  if (name === "Order Completed") redeem();
  enqueue(build("track", page || pageNow(), { event: name, properties: { ...properties } }), !LAZY[name]);
}

// call sends any other call (page, identify, alias).
export function call(type, fields) {
  if (allowed()) enqueue(build(type, page || pageNow(), fields), true);
}

// pageEvent is the page call of the page that is shown, as a rule reads it:
// with the product or category that it is about.
export const pageEvent = () => build("page", pageNow(), { properties: { ...subject, ...pageNow() } });

// viewed is for how long the page has been shown, in ms.
export const viewed = () => (page ? now() - begun : undefined);

// enter begins a view and sends its page call.
export function enter(name, properties) {
  const before = page ? page.url : doc.referrer;
  if (page) rest();
  page = pageNow(before);
  begun = input = lastAt = now();
  counted = doc.hidden ? Infinity : begun;
  beat = depth = told = half = 0;
  moved = quiet = false;
  subject = undefined;
  lastY = scrollY;
  call("page", { name, properties: { name, ...page, ...properties } });
  whenParsed(() => entering.forEach((fn) => fn()));
  schedule();
}

// rest tells what was measured of the page and not told yet.
function rest() {
  leaving.forEach((fn) => fn());
  if (moved) scrolled();
  ping();
  clearTimeout(timer);
}

// ping tells how long the page was looked at since the last one, in s. Time in
// which nobody touched anything does not count.
function ping() {
  const t = now();
  const seen = Math.min(t, input + ATTENTION) - counted;
  if (seen < 500) return;
  counted = t;
  track("Page Pinged", { seconds: seen / 1000, visible: true });
}

function schedule() {
  clearTimeout(timer);
  if (doc.hidden) return;
  timer = setTimeout(() => {
    beat++;
    ping();
    // A page that nobody touches goes quiet, so that the visitor counts as idle.
    quiet = now() - input >= ATTENTION;
    if (!quiet) schedule();
  }, 1000 * (BEATS[beat] || BEAT));
}

// touched notes that somebody is there.
function touched() {
  const t = now();
  if (page && (quiet || t - input > ATTENTION)) awake();
  input = t;
}

// awake begins to count again, after a time that does not count.
function awake() {
  counted = input = now();
  quiet = false;
  schedule();
}

function hide() {
  if (!page) return;
  rest();
  counted = Infinity; // until it is shown again
  sendRest();
}

// scrolled tells the depth (0 to 1, of the lower edge of what is seen), the
// speed since it was last told and when half of the page had been seen.
function scrolled() {
  const t = now();
  track("Page Scrolled", {
    depth: round(depth),
    velocity: round(Math.abs(scrollY - lastY) * 1000 / Math.max(100, t - lastAt)),
    seconds_to_half: half || undefined,
  });
  told = depth;
  lastAt = t;
  lastY = scrollY;
  moved = false;
}

const round = (x) => Math.round(x * 1000) / 1000;

let frame;
function onScroll() {
  if (!page || frame) return;
  frame = requestAnimationFrame(() => {
    frame = 0;
    moved = true;
    // Zoomed pages end a fraction of a pixel above their height.
    depth = Math.max(depth, Math.min(1, (scrollY + innerHeight + 1) / doc.documentElement.scrollHeight));
    if (depth >= 0.5 && !half) half = Math.max(1, now() - begun) / 1000;
    if (MARKS.some((m) => told < m && depth >= m)) scrolled();
  });
}

// navigated begins a new view when an application of one page has changed its URL.
function navigated() {
  setTimeout(() => { // the application sets its title afterwards
    if (page && route(pageNow().url) !== route(page.url)) {
      enter();
      emit("page");
    }
  });
}

export function watchView() {
  on(window, "pointermove pointerdown keydown scroll", touched, { capture: true, passive: true });
  on(window, "scroll", onScroll, { passive: true });
  on(doc, "visibilitychange", () => (doc.hidden ? hide() : page && awake()));
  on(window, "pagehide", hide);
  on(window, "pageshow", (e) => { if (e.persisted) enter(); });
  on(window, "popstate hashchange", navigated);
  for (const name of ["pushState", "replaceState"]) {
    const original = history[name];
    history[name] = function (...args) {
      original.apply(this, args);
      navigated();
    };
  }
}
