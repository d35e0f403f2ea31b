// Slots are elements with data-ms-slot. An answer fills some of them; the
// others get back what the page had put there.

import { doc, emit, on, warn } from "./env.js";
import { arm, onEnd, tick } from "./countdown.js";
import { inert } from "./sanitize.js";

const SWITCH = /^data-ms-[a-z-]+$/; // attributes of <html> that an action may set
const filled = new WeakMap(); // slot element → {original, rule, same}
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
    slot.classList.remove("ms-filled");
  });
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

function fill(slot, { slot: name, html, rule, deadline }) {
  const was = filled.get(slot);
  const same = html.replace(/\d{13}/g, ""); // but for the deadlines
  // The same content stays: it is not read aloud again, and does not flicker.
  if (was && was.rule === rule && (was.same === same || !was.same)) {
    if (!arm(slot, name, rule, deadline)) restore(slot);
    return;
  }
  const content = inert(html);
  if (!arm(content, name, rule, deadline)) return restore(slot);
  const original = was ? was.original : [...slot.childNodes];
  if (!slot.hasAttribute("aria-live")) slot.setAttribute("aria-live", "polite");
  put(slot, [...content.childNodes], () => {
    filled.set(slot, { original, rule, same });
    slot.dataset.msRule = rule;
    slot.classList.add("ms-filled");
    tick();
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

// apply makes the page what the actions of an answer say.
export function apply(actions) {
  const bySlot = {};
  for (const a of actions) bySlot[a.slot] = bySlot[a.slot] || a;
  turn(Object.values(bySlot));
  for (const slot of slots()) {
    adopt(slot);
    const action = bySlot[slot.dataset.msSlot];
    try {
      if (action && action.html) fill(slot, action);
      else restore(slot);
    } catch (e) {
      warn("slot:", slot.dataset.msSlot, e);
    }
  }
  tick();
  clearTimeout(expiry);
  const ttl = Math.min(...actions.map((a) => a.ttl_s || Infinity));
  if (ttl < 86_400) expiry = setTimeout(() => expired(), ttl * 1000);
  emit("personalized", { actions });
}

export function watchSlots() {
  onEnd(restore);
  slots().forEach(adopt);
  tick();
}
