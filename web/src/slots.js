// Slots are elements with data-ms-slot. An answer fills some of them; the
// others get back what the page had put there.

import { doc, emit, on, parse, session, warn, whenParsed } from "./env.js";
import { arm, onEnd, tick } from "./countdown.js";
import { close, mayShow, onOffers, open } from "./offers.js";
import { away, keepClear, watchOverlay } from "./overlay.js";
import { inert } from "./sanitize.js";

const SWITCH = /^data-ms-[a-z-]+$/; // attributes of <html> that an action may set
const filled = new WeakMap(); // slot element → {original, rule, offer, same}
let latest = []; // actions of the last answer
let switches = {}; // attributes that are set now
let expiry, expired;

const slots = () => doc.querySelectorAll("[data-ms-slot]");
export const anySlot = () => slots().length > 0;

// onExpire has fn called when an answer's ttl has passed.
export const onExpire = (fn) => { expired = fn; };

// put replaces what a slot holds, in place: where the slot reserves its size,
// nothing else moves. Someone who has the focus in there keeps it, and the
// content waits until they have left.
function put(slot, nodes, then) {
  if (slot.contains(doc.activeElement) && slot !== doc.activeElement) {
    slot.msNext = [nodes, then];
    on(slot, "focusout", () => setTimeout(() => {
      if (!slot.msNext) return;
      const next = slot.msNext;
      slot.msNext = null;
      put(slot, ...next);
    }), { once: true });
    return;
  }
  slot.msNext = null;
  slot.replaceChildren(...nodes);
  then();
}

function restore(slot) {
  const was = filled.get(slot);
  if (!was) return;
  put(slot, was.original, () => {
    filled.delete(slot);
    delete slot.dataset.msRule;
    slot.classList.remove("ms-filled", "ms-kept");
    keepClear();
  });
}

const closed = () => parse(session.get("closed"), {});

// dismiss closes what a slot holds, for good where it is an offer, else in this tab.
function dismiss(slot) {
  const was = filled.get(slot);
  if (!was) return;
  away(slot);
  if (was.offer) close("dismissed", was.offer);
  else session.set("closed", JSON.stringify({ ...closed(), [was.rule]: 1 }));
  restore(slot);
}

// adopt takes over what an edge had put into a slot: without an answer for it
// the slot is empty.
function adopt(slot) {
  if (filled.has(slot)) return;
  const inside = slot.dataset.msRule ? slot : slot.querySelector("[data-ms-rule]");
  if (!inside) return arm(slot, slot.dataset.msSlot); // the page's own countdown
  filled.set(slot, { original: [], rule: inside.dataset.msRule });
  slot.dataset.msRule = inside.dataset.msRule;
  slot.classList.add("ms-filled");
  if (!arm(slot, slot.dataset.msSlot, inside.dataset.msRule)) restore(slot);
}

function fill(slot, { slot: name, html, rule, deadline, offer, token }, early) {
  const was = filled.get(slot);
  const same = html.replace(/\d{13}/g, ""); // but for the deadlines
  // The same content stays: it is not read aloud again, and does not flicker.
  if (was?.rule === rule && (was.same === same || !was.same)) {
    was.offer = offer;
    if (!arm(slot, name, rule, deadline, token)) restore(slot);
    return;
  }
  const content = inert(html);
  if (!arm(content, name, rule, deadline, token)) return restore(slot);
  const original = was ? was.original : [...slot.childNodes];
  if (!slot.hasAttribute("aria-live")) slot.setAttribute("aria-live", "polite");
  put(slot, [...content.childNodes], () => {
    filled.set(slot, { original, rule, offer, same });
    slot.dataset.msRule = rule;
    slot.classList.add("ms-filled");
    slot.classList.toggle("ms-kept", !!early); // it was there before: no need to fade in
    tick();
    keepClear();
  });
}

// turn sets the attributes of <html> that the actions' data state, and takes
// away those of the last answer: layout, images and motion as data-ms-layout
// and so on, any other as attribute and value.
function turn(actions) {
  const next = {};
  for (const { data } of actions) {
    if (!data) continue;
    for (const name of ["layout", "images", "motion"]) if (data[name]) next["data-ms-" + name] = data[name];
    if (SWITCH.test(data.attribute)) next[data.attribute] = data.value;
  }
  const root = doc.documentElement;
  for (const name in switches) if (!(name in next)) root.removeAttribute(name);
  for (const name in next) root.setAttribute(name, next[name]);
  switches = next;
}

// render makes the page what the last answer and the visitor's offers say. An
// offer that stands fills its slot, whatever the answer has for it. It returns
// the actions that count.
function render() {
  const bySlot = {}, gone = closed();
  for (const a of open()) bySlot[a.slot] = bySlot[a.slot] || a;
  for (const a of latest) if (mayShow(a) && !gone[a.rule]) bySlot[a.slot] = bySlot[a.slot] || a;
  for (const slot of slots()) {
    adopt(slot);
    const action = bySlot[slot.dataset.msSlot];
    try {
      if (action?.html) fill(slot, action);
      else restore(slot);
    } catch (e) {
      warn("slot:", slot.dataset.msSlot, e);
    }
  }
  tick();
  return Object.values(bySlot);
}

// apply shows the actions of an answer.
export function apply(actions) {
  latest = actions;
  turn(render());
  clearTimeout(expiry);
  const ttl = Math.min(...actions.map((a) => a.ttl_s || Infinity));
  if (ttl < 86_400) expiry = setTimeout(() => expired(), ttl * 1000);
  emit("personalized", { actions });
}

// leavePage takes what was shown on the page before out of the slots, but for
// offers; the page as a whole stays until the next answer.
export function leavePage() {
  latest = [];
  render();
}

// parsed is true of a slot whose own content has been read: what is filled
// before would stand in front of it.
function parsed(slot) {
  for (let e = slot; e; e = e.parentNode) if (e.nextSibling) return true;
  return doc.readyState !== "loading";
}

// showKept fills the slots of offers that stand before the page is painted for
// the first time, while it is still read.
export function showKept() {
  if (!open().length) return;
  const look = () => {
    const kept = open(); // an order may end them meanwhile
    for (const slot of slots()) {
      const offer = !filled.has(slot) && kept.find((o) => o.slot === slot.dataset.msSlot);
      if (!offer || !parsed(slot)) continue;
      adopt(slot);
      fill(slot, offer, true);
    }
  };
  look();
  if (doc.readyState !== "loading") return;
  const observer = new MutationObserver(look);
  observer.observe(doc, { childList: true, subtree: true });
  on(doc, "DOMContentLoaded", () => observer.disconnect());
}

// From the beginning: the page's own scripts may tell of an order at once.
onOffers(() => whenParsed(render));

export function watchSlots() {
  onEnd(restore);
  watchOverlay(dismiss);
  slots().forEach(adopt);
  tick();
}
