// Countdowns: elements with data-ms-deadline (ms since the epoch, the server's
// clock) or data-ms-countdown (seconds). The tab keeps the first
// deadline that it saw of a rule.

import { doc, parse, serverNow, session } from "./env.js";

const SELECTOR = "[data-ms-deadline],[data-ms-countdown]";
let timer, ended;

// onEnd has fn called with the slot whose time is up.
export const onEnd = (fn) => { ended = fn; };

// keep is the earliest deadline of a rule that the tab has seen: an answer may
// count from when it is given, but an offer that is shown again goes on where
// it was, and one that is over is over.
function keep(key, deadline) {
  const kept = parse(session.get("deadlines"), {});
  if (kept[key] <= deadline) return kept[key];
  kept[key] = deadline;
  session.set("deadlines", JSON.stringify(kept));
  return deadline;
}

// arm gives the countdowns in root their deadline (the answer's, else their
// own) and is false when it has passed. That of an offer is signed, and stays.
export function arm(root, slot, rule, deadline, signed) {
  const elements = [...root.querySelectorAll(SELECTOR)];
  for (const { dataset } of elements) deadline = deadline || Number(dataset.msDeadline) || serverNow() + dataset.msCountdown * 1000;
  if (!(deadline > 0)) return true;
  if (!signed) deadline = keep(slot + " " + rule, deadline);
  for (const element of elements) {
    element.dataset.msDeadline = deadline;
    element.setAttribute("role", "timer");
    element.setAttribute("aria-live", "off"); // nobody wants every second read aloud
    write(element, deadline);
  }
  return deadline > serverNow();
}

function write(element, at) {
  const s = Math.max(0, Math.ceil((at - serverNow()) / 1000));
  const two = (n) => String(n).padStart(2, "0");
  const text = (s >= 3600 ? Math.floor(s / 3600) + ":" : "") + two(Math.floor(s / 60) % 60) + ":" + two(s % 60);
  if (element.textContent !== text) element.textContent = text;
}

// tick writes every countdown of the page; it runs while there are any.
export function tick() {
  clearTimeout(timer);
  let next = Infinity;
  for (const element of doc.querySelectorAll("[data-ms-deadline]")) {
    const at = Number(element.dataset.msDeadline);
    if (!at) continue;
    write(element, at);
    const left = at - serverNow();
    const slot = element.closest("[data-ms-slot]");
    if (left <= 0 && slot) ended(slot);
    else if (left > 0) next = Math.min(next, left % 1000 || 1000);
  }
  if (next < Infinity) timer = setTimeout(tick, next + 5);
}
