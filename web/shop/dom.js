// Building pages without a word of HTML in text: the policy allows none.

// el makes an element; properties that start with "data" or "aria" or have a
// dash are attributes.
export function el(name, properties = {}, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(properties)) {
    if (k.includes("-") || k === "role") e.setAttribute(k, v);
    else if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else e[k] = v;
  }
  e.append(...children);
  return e;
}

export const $ = (selector) => document.querySelector(selector);

export const picture = (p) => el("img", { src: `/shop/images/${p.shelf}.svg`, alt: "", width: 240, height: 160, className: "picture hue-" + Math.round(p.hue / 30) });
