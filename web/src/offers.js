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

// offersChanged: another tab, or a page in between, has changed them.
export function offersChanged() {
  tellEdges(read());
  changed();
}

// Ends are kept apart, by offer, and only who ends one writes them. Browsers tell tabs
// of each other's writing late: another tab's answer, put beside what that tab had
// read before, would open again what was closed here.
const ends = () => parse(local.get("ended"), {});

function read() {
  const offers = parse(local.get("offers"), {}), ended = ends();
  for (const o of Object.values(offers)) {
    const end = ended[o.offer];
    if (end && o.granted < end.until && !over(o)) o.state = end.state;
  }
  return offers;
}

function write(offers) {
  local.set("offers", JSON.stringify(offers));
  tellEdges(offers);
}

// tellEdges puts what an edge fills into a cookie, so that it sees it.
function tellEdges(offers) {
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
    const same = was?.until > serverNow();
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
  const offers = read(), ended = ends();
  for (const n in ended) if (ended[n].until <= serverNow()) delete ended[n];
  for (const o of Object.values(offers)) {
    if (o.state !== "open" || name && o.offer !== name) continue;
    o.state = state;
    ended[o.offer] = { state, until: o.until };
  }
  local.set("ended", JSON.stringify(ended));
  write(offers);
  changed();
}

export const redeem = () => close("redeemed");

export function forgetOffers() {
  for (const o of Object.values(read())) if (o.edge) cookie(o, 0);
  local.remove("offers");
  local.remove("ended");
}
