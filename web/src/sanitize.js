import { doc } from "./env.js";

// HTML becomes nodes that can do nothing: no script, no style, no handler, no
// frame, no form, no URL but a harmless one, no id that shadows a name.
// What is not listed goes. The server escapes what visitors wrote; this is the
// second door.

const TAGS = new Set(("a abbr article aside b blockquote br button caption code dd del div dl dt em figcaption figure footer " +
  "h1 h2 h3 h4 h5 h6 header hr i img ins li mark nav ol p s section small span strong sub sup table tbody td tfoot th thead time tr u ul").split(" "));
const ATTRIBUTES = /^(class|title|alt|lang|dir|role|width|height|type|datetime|colspan|rowspan|scope|loading|hidden|disabled|tabindex|target|(aria|data)-[a-z0-9-]+)$/;
const LINKS = /^(href|src)$/;
const SCHEMES = /^(https?|mailto|tel):$/;

// Parsing is a sink of Trusted Types; what comes out is never put back into text.
let policy = { createHTML: (s) => s };
try {
  if (window.trustedTypes) policy = trustedTypes.createPolicy("microseg", policy);
} catch {} // the page's policy does not list it: parsing then throws

function harmless(url) {
  try { return SCHEMES.test(new URL(url, location.href).protocol); } catch { return false; }
}

function clean(node) {
  for (const child of [...node.childNodes]) {
    if (child.nodeType === Node.TEXT_NODE) continue;
    if (!TAGS.has(child.localName)) { // comments have none
      child.remove();
      continue;
    }
    for (const { name, value } of [...child.attributes]) {
      if (!(LINKS.test(name) ? harmless(value) : ATTRIBUTES.test(name))) child.removeAttribute(name);
    }
    if (child.localName === "button") child.type = "button";
    clean(child);
  }
}

// inert parses HTML in a document without a window and returns what is harmless.
export function inert(html) {
  const { body } = new DOMParser().parseFromString(policy.createHTML(html), "text/html");
  clean(body);
  const out = doc.createDocumentFragment();
  out.append(...body.childNodes);
  return out;
}
