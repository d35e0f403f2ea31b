// The question whether a link may link: a dialog in a shadow root and the top layer, so
// that nothing of the page moves or is closed off, and nothing in it changes the dialog. It
// needs neither style attributes nor HTML from text, which strict policies forbid.

import { doc, now, on, tag } from "./env.js";

const TEXTS = {
  title: "Is this your account?",
  text: "The link that you have opened joins this browser to an account. What you do here from now on would be that account's. Say yes only if it is yours.",
  no: "No",
  yes: "Yes, it is mine",
};

const CSS = `:host{all:initial;position:fixed;inset:auto 0 max(1rem,env(safe-area-inset-bottom));z-index:2147483647;margin:auto;width:min(28rem,100vw - 2rem);` +
  `max-height:calc(100vh - 2rem);overflow:auto;border-radius:.75rem;color-scheme:inherit;font:1rem/1.45 system-ui,sans-serif}` +
  `section{padding:1rem 1.25rem;border:2px solid;border-radius:.75rem;background:Canvas;color:CanvasText;outline:0}h2{font-size:1.125rem;margin:0}p{margin:.5rem 0 1rem}` +
  `div{display:flex;flex-wrap:wrap;gap:.75rem}button{flex:1 1 8rem;min-height:2.75rem;padding:.25rem 1rem;font:inherit;font-weight:600;border:2px solid;border-radius:.5rem;` +
  `background:Canvas;color:CanvasText;cursor:pointer}button:focus-visible{outline:3px solid Highlight;outline-offset:2px}`;

const HASTE = 500; // ms in which a click or key was meant for what was there before

function element(name, attributes, ...content) {
  const e = doc.createElement(name);
  for (const a in attributes) e.setAttribute(a, attributes[a]);
  e.append(...content);
  return e;
}

// ask asks, and calls done with the answer. Closing is a no; whoever ignores the question
// has not answered it.
export function ask(done) {
  const text = (name) => tag.dataset[name] || TEXTS[name];
  const button = (name) => {
    const b = element("button", { type: "button", part: name }, text(name));
    on(b, "click", () => now() - since > HASTE && end(name === "yes"));
    return b;
  };
  const dialog = element("section", { role: "dialog", part: "dialog", tabindex: -1, "aria-labelledby": "title", "aria-describedby": "text" },
    element("h2", { id: "title" }, text("title")), element("p", { id: "text" }, text("text")), element("div", {}, button("no"), button("yes")));
  const host = element("ms-link", { popover: "manual" }), root = host.attachShadow({ mode: "open" }), before = doc.activeElement, since = now();
  const key = (e) => {
    if (e.key !== "Escape" || e.isComposing) return;
    e.stopPropagation(); // what else it would close stays
    end(false);
  };
  const end = (yes) => {
    removeEventListener("keydown", key, true);
    const inside = doc.activeElement === host;
    host.remove();
    if (inside && before) before.focus({ preventScroll: true });
    done(yes);
  };
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    root.adoptedStyleSheets = [sheet];
  } catch {} // an old browser shows it plainly, behind the page
  root.append(dialog);
  doc.documentElement.append(host);
  if (host.showPopover) host.showPopover();
  on(window, "keydown", key, true);
  dialog.focus({ preventScroll: true });
}
