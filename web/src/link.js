// A signed link (ms_link in the address) makes this browser a device of its user, if the
// visitor says so: anybody may have sent the link. Served minified as /link.js;
// docs/identity.md describes it.

import { doc, emit, endpoint, local, now, parse, tag, whenParsed, writeKey } from "./env.js";
import { consents } from "./identity.js";
import { ask } from "./ask.js";

const DAY = 86_400_000; // ms; no token lives longer
const url = new URL(location.href), token = url.searchParams.get("ms_link");

const tell = (why) => emit("link", { ok: !why, ...why });

// user is whose link it is, by the token's own word (the server judges it), as bytes: good
// to compare, not to show.
function user() {
  try {
    return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).d;
  } catch {}
}

// own reports whether the visitor comes from a page that the site lists as its own.
function own() {
  const from = (tag.dataset.linkFrom || "").split(/\s+/);
  return doc.referrer && from.includes(new URL(doc.referrer).origin);
}

async function link(wait) {
  const body = { token, anonymousId: microseg.anonymousId(), messageId, writeKey, context: { consent: { categoryPreferences: { analytics: true, ...consents() } } } };
  try {
    const r = await fetch(endpoint + "/v1/identity/link", { method: "POST", keepalive: true, credentials: "omit", body: JSON.stringify(body) });
    if (r.ok) return tell();
    if (r.status < 500 && r.status !== 429) return tell((await r.json()).error);
  } catch {}
  if (wait < 60_000) setTimeout(link, wait, 2 * wait);
  else tell({ code: "unreachable" });
}

const messageId = "link-" + now() + Math.random();

// decide asks once there may be something to link: microseg.js may come later, and
// without consent there is no id yet.
function decide() {
  if (!window.microseg || !microseg.anonymousId()) return setTimeout(decide, 200);
  // What was done before goes out before: the log's order says what is linked.
  const yes = async () => {
    await microseg.flush();
    link(1000);
  };
  if (own()) return yes();
  const refused = parse(local.get("declined"), {});
  if (refused.user === user() && now() < refused.until) return tell({ code: "declined" });
  ask((answer) => {
    if (answer) return yes();
    local.set("declined", JSON.stringify({ user: user(), until: now() + DAY }));
    tell({ code: "declined" });
  });
}

if (token) {
  // Before anything else can see it: history, referrers, page views.
  url.searchParams.delete("ms_link");
  history.replaceState(history.state, "", url);
  if (!user()) tell({ code: "token_form" });
  else if (top !== self) tell({ code: "framed" }); // the page around it could hide what is asked
  else whenParsed(decide);
}
