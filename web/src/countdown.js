// Countdowns: elements with data-ms-deadline (ms since the epoch, the server's
// clock) or data-ms-countdown (seconds from when the tab first saw the rule).

import { doc, parse, serverNow, session } from "./env.js";

const SELECTOR = "[data-ms-deadline],[data-ms-countdown]";
let timer, ended;

// onEnd has fn called with the slot whose time is up.
export const onEnd = (fn) => { ended = fn; };

// deadlineOf is when a countdown ends, kept for the tab: an offer that is shown
// again on the next page goes on where it was.
function deadlineOf(element, slot, rule) {
  const stated = Number(element.dataset.msDeadline);
  if (stated) return stated;
  const seconds = Number(element.dataset.msCountdown);
  if (!(seconds > 0)) return 0;
  const kept = parse(session.get("deadlines"), {});
  const key = slot + " " + rule;
  if (!kept[key]) {
    kept[key] = serverNow() + seconds * 1000;
    session.set("deadlines", JSON.stringify(kept));
  }
  return kept[key];
}

// arm gives the countdowns in root their deadlines (deadline, where the answer
// has one, stands above the fragment's) and starts the one timer. It is false
// when one of them is over.
export function arm(root, slot, rule, deadline) {
  let alive = !(deadline && deadline <= serverNow());
  for (const element of root.querySelectorAll(SELECTOR)) {
    if (deadline) element.dataset.msDeadline = deadline;
    const at = deadlineOf(element, slot, rule);
    if (!at) continue;
    element.dataset.msDeadline = at;
    element.setAttribute("role", "timer");
    element.setAttribute("aria-live", "off"); // nobody wants every second read aloud
    write(element, at);
    alive = alive && at > serverNow();
  }
  return alive;
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
