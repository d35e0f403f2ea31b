// microseg in the page: collects what visitors do, and shows what their segment
// should see. Served minified as /microseg.js; docs/page.md describes it.

import { endpoint, local, on, session, whenParsed } from "./env.js";
import { allowed, anonymousId, consents, forget, setUser, userId } from "./identity.js";
import { version } from "./event.js";
import { clear, flush } from "./transport.js";
import { call, enter, track, watchView } from "./view.js";
import { watchElements } from "./elements.js";
import { applyContent, getUserSegment, listen, personalizeContent, stop, watchLoop } from "./loop.js";
import { forgetOffers, offersChanged, redeem } from "./offers.js";
import { showKept, watchSlots } from "./slots.js";

const api = {
  version,
  getUserSegment,
  personalizeContent,
  applyContent,
  endpoint,
  flush,
  allowed,
  // anonymousId is the browser's random id; null without consent.
  anonymousId: () => (allowed() ? anonymousId() : null),
  track,
  page: (name, properties) => (typeof name === "object" ? enter(undefined, name) : enter(name, properties)),
  identify(id, traits, options) {
    if (id && typeof id === "object") [id, traits] = [undefined, id];
    become(id, options, "identify", { traits: { ...traits } });
  },
  redeem, // an order that the page's own events do not tell of
  alias(to, from, options) {
    if (from && typeof from === "object") [from, options] = [undefined, from];
    if (allowed()) become(to, options, "alias", { previousId: from || userId() || anonymousId() });
  },
  // reset is a log-out: the next event is another visitor's.
  reset() {
    flush();
    leaveBehind();
    listen();
  },
  // consent merges categories (analytics: false stops everything here).
  consent(categories) {
    const before = allowed();
    local.set("consent", JSON.stringify({ ...consents(), ...categories }));
    if (before === allowed()) return;
    if (allowed()) {
      enter();
      listen();
    } else withdraw();
  },
};

// become says who the visitor is; options may bring the proof of it: { proof } or
// { context: { proof } }.
function become(id, options, type, fields) {
  if (!allowed()) return;
  const sure = options?.proof || options?.context?.proof, before = userId();
  if (id) setUser(id, sure);
  const other = before && before !== userId();
  if (other) stop(); // what was said of that one is not this one's
  call(type, fields);
  if (sure || other) listen();
}

// leaveBehind forgets the visitor, in the browser and on the page.
function leaveBehind() {
  forget();
  forgetOffers();
  session.remove("deadlines");
  session.remove("closed");
  stop();
}

function withdraw() {
  clear();
  leaveBehind();
}

if (!window.microseg) {
  Object.assign(window, { microseg: api, getUserSegment, personalizeContent, applyContent });
  if (!allowed()) withdraw(); // what an earlier visit left
  else showKept();
  watchView();
  watchElements();
  enter();
  whenParsed(watchSlots);
  whenParsed(watchLoop);
  // Another tab logged out or withdrew consent.
  on(window, "storage", (e) => {
    if (!allowed()) withdraw();
    else if (e.key === "ms_anonymous_id") listen();
    else if (e.key === "ms_offers" || e.key === "ms_ended") offersChanged();
  });
}
