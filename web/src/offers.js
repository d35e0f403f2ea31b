// The visitor's offers. What was granted stays until its deadline, an order or
// its dismissal, on every page and in every tab: localStorage holds, by offer,
// the signed token and what it shows. Nothing is forgotten by this clock alone,
// which may be wrong; the server says what is over.

import { local, parse, serverNow, setCookie } from "./env.js";

const SENT = 8; // as many tokens go with a request
const over = (o) => o.state === "dismissed" || o.state === "redeemed";

let changed = () => {};

// onOffers has fn called when an offer was closed, here or in another tab.
export const onOffers = (fn) => { changed = fn; };
export const offersChanged = () => changed();

const read = () => parse(local.get("offers"), {});

// write keeps the offers; what an edge fills is in a cookie, so that it sees it.
function write(offers) {
  local.set("offers", JSON.stringify(offers));
  for (const o of Object.values(offers)) if (o.edge) cookie(o, standing(o) ? (o.deadline - serverNow()) / 1000 : 0);
}

const cookie = (o, age) => setCookie("ms_offer_" + o.slot, age > 0 ? o.token : "", age);

const standing = (o) => o.state === "open" && o.deadline > serverNow();

// open are the offers that fill their slots now, as actions of an answer.
export const open = () => Object.values(read()).filter((o) => o.html && standing(o)).sort((a, b) => a.granted - b.granted);

// mayShow is false of an action whose offer is over, or stands in another slot.
export function mayShow({ offer, slot }) {
  const o = read()[offer];
  return !o || !over(o) && o.slot === slot;
}

// words are what a request says of the offers.
export const words = () => Object.values(read()).slice(-SENT).map(({ token, state }) => ({ token, state }));

// keep takes what an answer grants, and what became of the offers that it was
// asked with (their tokens): those that the server knows nothing of are none.
export function keep({ actions = [], offers }, asked = []) {
  if (!offers) return;
  const had = read(), next = {};
  const told = (o) => asked.some((w) => w.token === o.token);
  for (const name in had) if (!told(had[name])) next[name] = had[name];
  for (const o of offers) {
    const was = had[o.offer];
    const same = was && was.until > serverNow();
    // Another tab was granted it, too, before: that one counts.
    if (same && !told(was) && was.granted < o.granted) next[o.offer] = was;
    else {
      const { html, data } = actions.find((a) => a.offer === o.offer) || (same ? was : {});
      next[o.offer] = { ...o, html, data, state: same && over(was) ? was.state : o.state };
    }
  }
  write(next);
}

// close says what became of the offers that stand; without a name of all.
export function close(state, name) {
  const offers = read();
  for (const o of Object.values(offers)) if (o.state === "open" && (!name || o.offer === name)) o.state = state;
  write(offers);
  changed();
}

export const redeem = () => close("redeemed");

export function forgetOffers() {
  for (const o of Object.values(read())) if (o.edge) cookie(o, 0);
  local.remove("offers");
}
