// What visitors do to marked elements, forms and videos. Listeners are on the
// document, so that content which comes later is covered.

import { doc, now, on, parse, uuid, warn } from "./env.js";
import { onEnter, onLeave, track } from "./view.js";

const PASSING = 100; // ms; a shorter hover or focus is the pointer passing by

const marked = (target) => target?.closest?.("[data-ms-element]");

// span measures for how long an element has the pointer or the focus.
function span(name) {
  let element, since;
  const end = () => {
    const ms = now() - since;
    if (element && ms >= PASSING) track(name, { element: element.dataset.msElement, duration_ms: ms });
    element = null;
  };
  onLeave(end);
  return (next) => {
    if (next === element) return;
    end();
    element = next;
    since = now();
  };
}

function watchSpans() {
  const hover = span("Element Hovered"), focus = span("Element Focused");
  // A finger does not hover.
  on(doc, "pointerover", (e) => { if (e.pointerType !== "touch") hover(marked(e.target)); });
  on(doc.documentElement, "pointerleave", () => hover(null));
  on(doc, "focusin", (e) => focus(marked(e.target)));
  on(doc, "focusout", (e) => focus(marked(e.relatedTarget)));
}

// declared sends the event that an element's data-ms-track states.
function declared(element) {
  const { event, properties } = parse(element.dataset.msTrack, {});
  if (event) track(event, properties);
  else warn("data-ms-track:", element);
}

function onClick(e) {
  const target = e.target.closest?.("a,button,summary,[role=button],[data-ms-element],[data-ms-track]:not(form)");
  if (!target) return;
  const element = marked(target);
  track("Element Clicked", {
    element: element ? element.dataset.msElement : undefined,
    tag: target.tagName.toLowerCase(),
    text: target.textContent.trim().slice(0, 80),
    href: target.getAttribute("href") || undefined,
  });
  const stated = target.closest("[data-ms-track]:not(form):not([data-ms-on=load])");
  if (stated) declared(stated);
}

function watchForms() {
  const begun = new WeakSet();
  const name = (form) => form.dataset.msForm || form.getAttribute("name") || form.id || undefined;
  on(doc, "input", (e) => {
    const form = e.target.form;
    if (!form || begun.has(form)) return;
    begun.add(form);
    track("Form Started", { form: name(form) });
  }, true);
  on(doc, "submit", (e) => {
    begun.delete(e.target);
    track("Form Submitted", { form: name(e.target) });
    if (e.target.dataset.msTrack) declared(e.target);
  }, true);
}

function watchVideos() {
  const plays = new WeakMap(); // video → session of its play
  const told = (name, v) => track("Video Playback " + name, {
    session_id: plays.get(v), position: v.currentTime,
    total_length: isFinite(v.duration) ? v.duration : undefined,
    title: v.dataset.msVideo || v.title || undefined,
  });
  const heard = (type, fn) => on(doc, type, (e) => { if (e.target.tagName === "VIDEO") fn(e.target); }, true);
  heard("play", (v) => {
    const again = plays.has(v);
    if (!again) plays.set(v, uuid());
    told(again ? "Resumed" : "Started", v);
  });
  heard("pause", (v) => { if (!v.ended && plays.has(v)) told("Paused", v); });
  heard("ended", (v) => {
    told("Completed", v);
    plays.delete(v);
  });
}

export function watchElements() {
  watchSpans();
  watchForms();
  watchVideos();
  on(doc, "click", onClick, true);
  onEnter(() => doc.querySelectorAll("[data-ms-track][data-ms-on=load]").forEach(declared));
}
