// microseg at the edge, as an ES module for Cloudflare Workers and whatever else
// runs workerd: gets the page, verifies the visitor's token without asking
// anybody, and puts the fragments of their segment into the page's slots.
// docs/edge.md explains it. Bindings:
//
//   SITE_ORIGIN          where the pages come from, https://host
//   NODE_ORIGIN          a serving node
//   MICROSEG_TOKEN_KEYS  id:hex[,id:hex], as the nodes have them; a secret
//   MICROSEG_SITE        the site that tokens are good for
//
// A page marks its slots with data-ms-slot, and its type with data-ms-page on
// <html>, <body> or a slot. A fragment is asked for with a claim, the same for
// everybody whose token ends in the same minute; only who keeps an offer in a slot, by its
// cookie, is asked about with their token, and that answer is never kept.

// The node's routes, as serving/routes has them; a test compares them.
const NODE = new RegExp("^/+(api/|beacon/+v1/|sourceConfig/*([?]|$)|v1/)");
const MIXPANEL = new RegExp("^/+(engage/*([?]|$)|groups/*([?]|$)|import/*([?]|$)|track/*([?]|$))");
const COLLECTS = new RegExp("^/+(beacon/+v1|v1)/|" + MIXPANEL.source);
const SCRIPT = new RegExp("^/+(link[.]js/*([?]|$)|microseg[.]js/*([?]|$))");

const TOKEN = /(?:^|; *)ms_token=(v1\.[\w-]{2,900}\.[\w-]{43})(?:;|$)/;
// Cookies of scripts, by their whole names; one of the site's may begin like them.
const SCRIPT_COOKIE = /^(?:(?:ms_token|_ga|_ga_[A-Z0-9]{6,14}|_gid|_fbp|ajs_(?:anonymous|user|group)_id)=|ms_offer_[\w-]{1,64}=(?:v1\.[\w-]+\.[\w-]{43})?$)/;
const PAGES = ["home", "list", "search", "product", "comparison", "cart", "checkout", "confirmation", "content", "other"];
const MINUTE = 60;
const TIMEOUT = 2000; // ms that a visitor waits for a fragment
// What the world must not tell a backend.
const FORBIDDEN = /^(x-microseg-.*|x-forwarded-(?!for$).*|x-original-.*|x-rewrite-.*|x-host|x-http-host-override|x-(http-)?method-override|x-http-method|x-(url-)?scheme|front-end-https|forwarded|surrogate-.*)$/i;
const AGENTS = { mobile: "Mozilla/5.0 (Linux; Android 10; K) Mobile microseg-edge", tablet: "Mozilla/5.0 (Linux; Android 10; Tablet) microseg-edge",
  desktop: "Mozilla/5.0 (X11; Linux x86_64) microseg-edge", other: "microseg-edge" };
const PATH = /^[\w/-]{1,400}$/; // of a segment

const text = new TextEncoder();

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    // Claims are between edges and nodes, and fragments between this and nodes.
    if (/^\/+(edge|esi)(\/|$)/i.test(decodeURIComponent(url.pathname.replace(/%(?![0-9a-f]{2})/gi, "%25")))) return new Response("", { status: 404 });
    const read = request.method === "GET" || request.method === "HEAD";
    const mixpanel = MIXPANEL.test(url.pathname) && (!read || url.searchParams.has("data"));
    if (mixpanel || NODE.test(url.pathname) || SCRIPT.test(url.pathname)) {
      return forward(request, url, env.NODE_ORIGIN);
    }
    const page = await pageOf(request, url, env, ctx);
    if (request.method !== "GET" || page.status !== 200 || !/^text\/html/i.test(page.headers.get("content-type") || "")) {
      const out = new Response(page.body, page);
      out.headers.delete("surrogate-control"); // it was for edges
      return out;
    }
    return inject(page, request, env, ctx);
  },
};

// at is a path of ours at an origin. The origin stays, whatever the path says:
// "//evil.example/" as a relative address would be another host.
function at(origin, path, query) {
  const to = new URL(origin);
  to.pathname = path.replace(/^\/+/, "/");
  to.search = query;
  return to;
}

// forward passes a request on as it is, but for what must not be believed.
async function forward(request, url, origin) {
  const headers = new Headers(request.headers);
  for (const name of [...headers.keys()]) if (FORBIDDEN.test(name)) headers.delete(name);
  // Who asks, as the platform knows it: the client may have begun the header itself.
  const client = request.headers.get("cf-connecting-ip");
  if (client) headers.set("x-forwarded-for", client);
  headers.set("x-forwarded-proto", url.protocol === "https:" ? "https" : "http");
  try {
    return await fetch(new Request(at(origin, url.pathname, url.search), { method: request.method, headers, body: request.body, redirect: "manual" }));
  } catch {
    const headers = { "retry-after": "2", "cache-control": "private, no-store" };
    const answer = new Response("", { status: 503, headers });
    // A library on a page of another origin must be able to read that it is to
    // come back, or it takes the events for lost.
    if (COLLECTS.test(url.pathname)) {
      answer.headers.set("access-control-allow-origin", "*");
      answer.headers.set("access-control-expose-headers", "Retry-After");
    }
    return answer;
  }
}

// pageOf is the page, from the cache where it is nobody's own.
function pageOf(request, url, env, ctx) {
  const own = (request.headers.get("cookie") || "").split(/; */).some((c) => c && !SCRIPT_COOKIE.test(c));
  if (request.method !== "GET" || own || request.headers.has("authorization")) return forward(request, url, env.SITE_ORIGIN);
  // What is kept is shown to others: it depends on these words, which are in its key,
  // and on nothing that one visitor can write freely.
  const form = device(request.headers.get("user-agent") || "");
  const [, language = ""] = /^ *([a-z]{2,3}(?:-[a-z]{2})?) *(?:[,;]|$)/i.exec(request.headers.get("accept-language") || "") || [];
  const headers = { accept: "text/html,*/*", "user-agent": AGENTS[form], "x-forwarded-proto": url.protocol === "https:" ? "https" : "http" };
  if (language) headers["accept-language"] = language.toLowerCase();
  const key = [headers["x-forwarded-proto"], form, language.toLowerCase()].join("/");
  return kept(`page/${key}${url.pathname}${url.search}`, ctx, () => fetch(at(env.SITE_ORIGIN, url.pathname, url.search), { headers, redirect: "manual" }));
}

// inject fills the page's slots.
async function inject(page, request, env, ctx) {
  const visitor = await verify(request, env);
  let type = "other";
  const rewriter = new HTMLRewriter()
    .on("[data-ms-page]", { element(e) { type = e.getAttribute("data-ms-page"); } })
    .on("[data-ms-slot]", {
      async element(e) {
        const html = await fragment(e.getAttribute("data-ms-slot"), type, visitor, request, env, ctx);
        if (html) e.setInnerContent(html, { html: true });
      },
    });
  const out = new Response(page.body, page);
  // What is put together is one visitor's.
  out.headers.set("cache-control", "private, no-store");
  for (const name of ["etag", "last-modified", "surrogate-control", "content-length"]) out.headers.delete(name);
  return rewriter.transform(out);
}

// fragment is a slot's HTML, empty where there is none to be had: then the page
// keeps what it has.
async function fragment(slot, page, visitor, request, env, ctx) {
  if (!/^[\w-]{1,64}$/.test(slot || "")) return "";
  const own = await offer(slot, visitor, request, env);
  if (own) return own;
  const query = new URLSearchParams({ segment: visitor.path, page: PAGES.includes(page) ? page : "other", device: device(request.headers.get("user-agent") || "") });
  const key = `esi/${slot}?${query}${visitor.claim ? "&claim" : ""}`; // the claim is another every minute
  if (visitor.claim) query.set("claim", visitor.claim);
  try {
    const answer = await kept(key, ctx, () =>
      fetch(at(env.NODE_ORIGIN, "/esi/" + slot, String(query)), { signal: AbortSignal.timeout(TIMEOUT) }));
    return answer.status === 200 ? await answer.text() : "";
  } catch {
    return "";
  }
}

// offer is the HTML of an offer that the visitor keeps in a slot, empty without one.
async function offer(slot, visitor, request, env) {
  const [, text] = new RegExp(`(?:^|; *)ms_offer_${slot}=(v1\\.[\\w-]{2,4000}\\.[\\w-]{43})(?:;|$)`).exec(request.headers.get("cookie") || "") || [];
  if (!text || !visitor.token) return "";
  try {
    const answer = await fetch(at(env.NODE_ORIGIN, "/edge/offer/" + slot, ""),
      { headers: { "x-microseg-token": visitor.token, "x-microseg-offer": text }, signal: AbortSignal.timeout(TIMEOUT) });
    return answer.status === 200 ? await answer.text() : "";
  } catch {
    return "";
  }
}

const renewals = new Map(); // key → when its renewal began: one at a time in this isolate

// kept answers from the cache by the answer's own words (RFC 5861): while it is
// fresh; stale, and asks again behind the visitor's back; stale for longer if
// nobody answers.
async function kept(key, ctx, ask) {
  const place = new Request("https://cache.microseg.invalid/" + key);
  const have = await caches.default.match(place);
  const age = have ? (Date.now() - Number(have.headers.get("x-microseg-at"))) / 1000 : 0;
  const life = have && lifetime(have.headers);
  if (have && age < life.fresh) return bare(have);
  if (have && age < life.fresh + life.revalidate) {
    if (Date.now() - (renewals.get(key) || 0) > TIMEOUT) {
      renewals.set(key, Date.now());
      ctx.waitUntil(ask().then((a) => (a.status < 500 ? keep(place, a, ctx) : undefined)).catch(() => {}).finally(() => renewals.delete(key)));
    }
    return bare(have);
  }
  try {
    const answer = await ask();
    if (answer.status < 500) return keep(place, answer, ctx);
    return have ? bare(have) : answer; // the backend's own words, where there is nothing better
  } catch {
    return have ? bare(have) : new Response("", { status: 503, headers: { "retry-after": "2" } });
  }
}

// keep puts an answer into the cache for as long as it may be of use.
async function keep(place, answer, ctx) {
  const headers = new Headers(answer.headers);
  let life = lifetime(headers);
  if (answer.status === 404) {
    // A slot that has no fragments is asked for again after a while.
    headers.set("surrogate-control", "max-age=60");
    life = lifetime(headers);
  } else if (answer.status !== 200) return answer;
  const varies = (headers.get("vary") || "").toLowerCase().split(/, */).some((v) => v && v !== "accept-encoding");
  const seconds = life.fresh + Math.max(life.revalidate, life.error);
  if (!seconds || varies || headers.has("set-cookie")) return answer;
  const body = await answer.arrayBuffer();
  headers.set("x-microseg-at", String(Date.now()));
  headers.set("x-microseg-cc", headers.get("cache-control") || "");
  headers.set("cache-control", "public, max-age=" + seconds);
  headers.delete("vary");
  ctx.waitUntil(caches.default.put(place, new Response(body, { status: answer.status, headers })));
  return bare(new Response(body, { status: answer.status, headers }));
}

// bare is an answer without what the cache wrote on it.
function bare(answer) {
  const out = new Response(answer.body, answer);
  const cc = out.headers.get("x-microseg-cc");
  if (cc !== null) out.headers.set("cache-control", cc);
  for (const name of ["x-microseg-at", "x-microseg-cc", "cf-cache-status", "age"]) out.headers.delete(name);
  return out;
}

// lifetime reads Surrogate-Control, else Cache-Control, in seconds.
function lifetime(headers) {
  const surrogate = headers.get("surrogate-control") || "";
  const words = /max-age=|no-store/.test(surrogate) ? surrogate : headers.get("x-microseg-cc") || headers.get("cache-control") || "";
  if (/no-store|no-cache|private/.test(words)) return { fresh: 0, revalidate: 0, error: 0 };
  const number = (name) => {
    const found = words.match(new RegExp(`(?:^|[, ])${name}=(\\d{1,9})`));
    return found ? Number(found[1]) : undefined;
  };
  return { fresh: number("s-maxage") ?? number("max-age") ?? 0, revalidate: number("stale-while-revalidate") ?? 0, error: number("stale-if-error") ?? 0 };
}

// verify reads the cookie's token as serving/token does. Who has none that can
// be believed is in everyone, and has no claim.
async function verify(request, env) {
  const nobody = { path: "everyone", claim: "" };
  const found = TOKEN.exec(request.headers.get("cookie") || "");
  if (!found) return nobody;
  const [, payload, mac] = found[1].split(".");
  try {
    // Base64 has spare bits at its end: one text only is this token's.
    if (encode(decode(payload)) !== payload || encode(decode(mac)) !== mac) return nobody;
    const c = JSON.parse(new TextDecoder().decode(decode(payload)));
    const keys = await keysOf(env);
    const key = keys.get(c.k);
    if (!key || !(await crypto.subtle.verify("HMAC", key, decode(mac), text.encode("v1." + payload)))) return nobody;
    const now = Date.now() / 1000;
    if (c.a !== "segment" || c.s !== env.MICROSEG_SITE || !(now < c.e) || !PATH.test(c.p || "")) return nobody;
    return { path: c.p, claim: await claim(c.p, now, c.e, env, keys), token: found[1] };
  } catch (e) {
    console.error("microseg: a token could not be verified:", e.message);
    return nobody;
  }
}

// claim proves a segment about nobody, until the last whole minute of the token that it
// is made of, as GET /edge/token of a node does.
async function claim(path, now, until, env, keys) {
  const [id, key] = keys.entries().next().value;
  const whole = Math.floor(until / MINUTE) * MINUTE;
  const signed = "v1." + encode(text.encode(JSON.stringify({ k: id, a: "claim", s: env.MICROSEG_SITE, p: path, i: 0, e: whole > now ? whole : until })));
  return signed + "." + encode(new Uint8Array(await crypto.subtle.sign("HMAC", key, text.encode(signed))));
}

let imported; // the keys, and the text that they were read from

async function keysOf(env) {
  if (imported && imported.from === env.MICROSEG_TOKEN_KEYS) return imported.keys;
  const keys = new Map();
  for (const part of env.MICROSEG_TOKEN_KEYS.split(",")) {
    const [, id, hex] = /^([^:]+):((?:[0-9a-f]{2}){16,})$/i.exec(part.trim()) || [];
    if (!hex) throw new Error("MICROSEG_TOKEN_KEYS is not id:hex[,id:hex]");
    if (keys.has(id)) continue; // the first of a name counts
    const raw = Uint8Array.from(hex.match(/../g), (b) => parseInt(b, 16));
    keys.set(id, await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]));
  }
  imported = { from: env.MICROSEG_TOKEN_KEYS, keys };
  return keys;
}

const decode = (s) => Uint8Array.from(atob(s.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const encode = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

// device is the form of device, as varnish.vcl tells it.
function device(agent) {
  if (/bot\b|crawl|spider|slurp|smart-?tv|appletv|hbbtv|googletv|crkey|roku|bravia/i.test(agent)) return "other";
  if (/ipad|tablet|kindle|silk\/|playbook|android(?!.*mobile)/i.test(agent)) return "tablet";
  if (/mobi|iphone|ipod|blackberry|opera mini/i.test(agent)) return "mobile";
  return /windows nt|macintosh|x11|cros/i.test(agent) ? "desktop" : "other";
}
