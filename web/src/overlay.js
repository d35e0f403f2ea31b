// Content that can be closed, by an element with data-ms-dismiss or Escape, and
// that keeps off the page's main actions.

import { doc, on } from "./env.js";

const SLOT = "[data-ms-slot]", CLOSE = "[data-ms-dismiss]", DIALOG = "[role=dialog]";
const MAIN = "[data-ms-main],[data-ms-element=add_to_cart]";
let before; // what had the focus outside of slots

const all = (selector) => [...doc.querySelectorAll(selector)];

// away gives the focus back to who had it before the slot, if the slot has it.
export function away(slot) {
  if (!slot.contains(doc.activeElement)) return;
  const to = before?.isConnected ? before : doc.querySelector("main") || doc.body;
  if (to.tabIndex < 0) to.tabIndex = -1; // to be focused by script alone
  to.focus({ preventScroll: true });
}

// keepClear marks slots whose content lies over a main action with data-ms-aside: where
// the page's CSS is to put them instead, the first place in which they do not. What went
// into the page may be far from what is seen, so it comes back where there is room.
export function keepClear() {
  for (const slot of all(SLOT)) {
    const { dataset } = slot, inTheWay = () => all(MAIN).some((e) => covers(slot, e));
    if (!slot.querySelector(DIALOG)) delete dataset.msAside;
    else if (dataset.msAside === "page" || inTheWay()) {
      ["bottom", "top", "page"].some((place) => {
        dataset.msAside = place;
        return !inTheWay();
      });
    }
  }
}

function covers(slot, action) {
  if (slot.contains(action)) return false;
  const a = slot.getBoundingClientRect(), b = action.getBoundingClientRect();
  return b.width > 0 && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

// watchOverlay has dismiss called with the slot that somebody closes.
export function watchOverlay(dismiss) {
  on(doc, "click", (e) => {
    const slot = e.target.closest?.(CLOSE)?.closest(SLOT);
    if (slot) dismiss(slot);
  });
  on(doc, "keydown", (e) => {
    if (e.key !== "Escape" || e.defaultPrevented || e.isComposing) return;
    const own = doc.activeElement?.closest(SLOT);
    if (own?.querySelector(CLOSE)) dismiss(own);
    else all(SLOT).filter((slot) => slot.querySelector(DIALOG + " " + CLOSE)).forEach(dismiss);
  });
  on(doc, "focusin", (e) => { if (!e.target.closest(SLOT)) before = e.target; });
  on(window, "scroll resize", keepClear, { passive: true, capture: true });
  if (window.ResizeObserver) new ResizeObserver(keepClear).observe(doc.documentElement);
}
