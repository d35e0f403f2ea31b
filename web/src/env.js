// Settings from the script's own tag, storage that may be refused, one clock.

export const doc = document;

// on listens to events, which are named with spaces between them.
export const on = (target, names, fn, options) => names.split(" ").forEach((name) => target.addEventListener(name, fn, options));

export const tag = doc.currentScript || { dataset: {} };

export const writeKey = tag.dataset.writeKey || "";
export const endpoint = (tag.dataset.endpoint || new URL(tag.src || location.href).origin).replace(/\/+$/, "");
export const optIn = tag.dataset.consent === "required";
const hashRoutes = "hashRoutes" in tag.dataset;

// route is an address as far as it names a page: with hash routes up to its end when
// the fragment is a path (#/cart, #!/cart), else without the fragment.
export const route = (url) => url.replace(hashRoutes ? /#(?!!?\/).*/ : /#.*/, "");

// Everything that asks for the time asks here, so that a test moves it by Date.
export const now = () => Date.now();
export const iso = () => new Date(now()).toISOString();

// backoff is how long to wait in ms after so many failures; no two browsers the same.
export const backoff = (failures) => Math.min(60_000, 1000 * 2 ** failures) * (0.5 + Math.random() / 2);

// uuid is 128 random bits; pages without TLS have no randomUUID.
export const uuid = () => (crypto.randomUUID ? crypto.randomUUID()
  : [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join(""));

// store wraps localStorage or sessionStorage; where the browser refuses it (or
// it is full), values live as long as the page.
function store(area) {
  const memory = {};
  return {
    get(key) {
      try {
        const v = window[area].getItem("ms_" + key);
        if (v !== null) return v;
      } catch {}
      return key in memory ? memory[key] : null;
    },
    set(key, value) {
      memory[key] = value;
      try {
        window[area].setItem("ms_" + key, value);
        delete memory[key];
      } catch {}
    },
    remove(key) {
      delete memory[key];
      try { window[area].removeItem("ms_" + key); } catch {}
    },
  };
}

// (pure: link.js does without what it does not use)
export const local = /* @__PURE__ */ store("localStorage");
export const session = /* @__PURE__ */ store("sessionStorage");

// How far the server's clock is ahead of this one, in ms: deadlines are the server's.
// The next page knows it from its beginning.
let skew = Number(local.get("skew")) || 0;
export const serverNow = () => now() + skew;

// learnClock takes the server's time from an answer that was asked for at sent.
// The Date header has whole seconds, so it corrects only what is clearly wrong.
export function learnClock(response, answer, sent) {
  const here = (sent + now()) / 2, was = skew;
  if (answer.now_ms > 0) skew = answer.now_ms - here;
  else {
    const header = Date.parse(response.headers.get("Date"));
    const ahead = header + 500 - here;
    if (header && Math.abs(ahead - skew) > 2000) skew = ahead;
  }
  if (Math.abs(skew - was) > 500) local.set("skew", Math.round(skew));
}

// setCookie keeps a value for age seconds where edges in front of the site see it.
export function setCookie(name, value, age) {
  try {
    doc.cookie = `${name}=${value};path=/;samesite=lax;max-age=${Math.floor(age)}` + (isSecureContext ? ";secure" : "");
  } catch {} // a page that may have none
}

// whenParsed calls fn once the whole page is there.
export const whenParsed = (fn) => (doc.readyState === "loading" ? on(doc, "DOMContentLoaded", fn) : fn());

// parse reads JSON; what is none is the fallback.
export function parse(text, fallback) {
  try { return JSON.parse(text) ?? fallback; } catch { return fallback; }
}

export const warn = (...what) => console.warn("microseg:", ...what);

// emit tells the page's own scripts.
export const emit = (name, detail) => doc.dispatchEvent(new CustomEvent("microseg:" + name, { detail }));
