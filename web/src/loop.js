// The way back: which segment the visitor is in, and what that does to the page.

import { backoff, doc, emit, endpoint, learnClock, now, on, parse, setCookie } from "./env.js";
import { allowed, anonymousId, proofOf, userId } from "./identity.js";
import { keep, offersChanged, words } from "./offers.js";
import { anySlot, apply, leavePage, onExpire } from "./slots.js";
import { pageEvent, viewed } from "./view.js";

let token, latest, stream, retry, tries = 0, asked = 0, turns = 0, proven, older;

async function ask(path, options) {
  const sent = now();
  const r = await fetch(endpoint + path, { credentials: "omit", cache: "no-store", ...options });
  if (!r.ok) throw new Error(r.status);
  const answer = await r.json();
  learnClock(r, answer, sent);
  return answer;
}

// who is the visitor in a body; with the proof of the userId, where there is one that
// the node understands.
function who() {
  const id = userId(), proof = older ? undefined : proofOf(id);
  return { anonymousId: anonymousId(), userId: proof && id, proof, token };
}

const post = (path, more) => ask(path, { method: "POST", body: JSON.stringify({ ...who(), ...more }) });

// lookUp asks in a body: neither ids nor proofs stand in an address. A node that is older
// than the page knows the address alone, and refuses a userId without the admin's key.
async function lookUp() {
  older = false;
  try {
    return await post("/api/segment", { token: undefined });
  } catch (e) {
    if (!/40[45]/.test(e)) throw e;
    older = true;
    return ask("/api/segment" + me());
  }
}

const me = () => "?anonymousId=" + encodeURIComponent(anonymousId());

// remember puts the token where an edge in front of the site sees it.
function remember(value = "", age = 0) {
  token = value;
  setCookie("ms_token", value, age);
}

function learn(answer) {
  if (answer.token) remember(answer.token, Math.floor(answer.expires - answer.now_ms / 1000));
  latest = answer.served;
  return answer;
}

// getUserSegment resolves to the answer of POST /api/segment, whose it is and the
// offers that they keep, to be posted as it is; to null without consent. As text it is the served path.
export async function getUserSegment() {
  if (!allowed()) return null;
  const id = anonymousId();
  const found = await lookUp();
  if (id === anonymousId()) learn(found); // else the visitor has logged out meanwhile
  const answer = { ...found, anonymousId: id, offers: words() };
  return Object.defineProperty(answer, "toString", { value: () => answer.served });
}

// applyContent shows what an answer of POST /api/personalize says, and returns it.
export function applyContent(answer, asked) {
  if (!allowed()) return answer;
  keep(answer, asked);
  apply(answer.actions || []);
  return answer;
}

// personalizeContent asks what this page should show to a visitor of segment
// (its path, or the answer of getUserSegment) after event (by default the page
// call of this page), shows it, and resolves to the answer. Of answers that
// overtake each other the one asked for last stays.
export async function personalizeContent(segment, event) {
  if (segment && typeof segment === "object") segment = segment.served;
  if (!allowed()) return { segment, actions: [] };
  const turn = ++asked, { href } = location, offers = words();
  const answer = await post("/api/personalize", { segment, event: event || pageEvent(), offers, view_ms: viewed() });
  return turn === asked && href === location.href ? applyContent(answer, offers) : answer;
}

// refresh personalises the page by what is known; what cannot be had leaves
// the page as it is.
export const refresh = () => (latest != null && anySlot() ? personalizeContent(latest).catch(() => {}) : undefined);

// listen has the server push the visitor's segment, at once and when it
// changes. A hidden tab does not listen: browsers allow few connections.
export async function listen() {
  quiet();
  if (!allowed() || doc.hidden || !window.EventSource) return;
  let proof = "";
  if (who().proof) {
    const turn = turns;
    const answer = await getUserSegment().catch(() => {});
    if (turn !== turns) return; // somebody has called meanwhile
    proven = answer && !answer.proof_needed;
    if (proven && token) proof = "&token=" + token;
  }
  stream = new EventSource(endpoint + "/api/stream" + me() + proof);
  on(stream, "open", () => { tries = 0; });
  on(stream, "segment", (e) => {
    const answer = parse(e.data);
    if (!answer) return;
    if (answer.proof_needed && proven) return listen(); // the token is over, the proof may not be
    learn(answer);
    emit("segment", answer);
    refresh();
  });
  // A connection that was lost comes back by itself; one that was refused not.
  on(stream, "error", () => {
    if (stream?.readyState === EventSource.CLOSED) retry = setTimeout(listen, backoff(tries++));
  });
}

function quiet() {
  turns++;
  proven = 0;
  clearTimeout(retry);
  stream?.close();
  stream = null;
}

// stop forgets the visitor: their content goes, and nothing more arrives.
export function stop() {
  quiet();
  asked++;
  remember();
  latest = undefined;
  apply([]);
}

export function watchLoop() {
  on(doc, "visibilitychange", () => (doc.hidden ? quiet() : listen()));
  on(window, "pagehide", quiet);
  on(window, "pageshow", (e) => {
    if (!e.persisted) return;
    offersChanged(); // on a page in between
    listen();
  });
  on(doc, "microseg:page", () => {
    leavePage();
    refresh();
  });
  // Content whose time to live is over is asked for again; without an answer
  // the page gets back its own. A hidden tab asks when it is seen again.
  onExpire(() => doc.hidden || personalizeContent(latest).catch(() => apply([])));
  listen();
}
