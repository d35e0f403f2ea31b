// Cart and comparison, kept in the browser; each change is told to microseg.
import { find, item } from "./catalogue.js";

const read = (key, fallback) => JSON.parse(localStorage.getItem(key) ?? fallback);
const write = (key, value) => {
  localStorage.setItem(key, JSON.stringify(value));
  document.dispatchEvent(new Event("shop:changed"));
};

// cart is a list of [product, quantity].
export const cart = () => Object.entries(read("shop_cart", "{}")).filter(([id]) => find(id)).map(([id, n]) => [find(id), n]);
export const cartItems = () => cart().map(([p, n]) => item(p, n));
export const cartValue = () => cart().reduce((sum, [p, n]) => sum + p.price * n, 0);
export const cartCount = () => cart().reduce((sum, [, n]) => sum + n, 0);
export const emptyCart = () => write("shop_cart", {});

export function add(p, quantity = 1) {
  const all = read("shop_cart", "{}");
  write("shop_cart", { ...all, [p.id]: (all[p.id] ?? 0) + quantity });
  microseg.track("Product Added", item(p, quantity));
}

export function remove(p) {
  const { [p.id]: quantity, ...rest } = read("shop_cart", "{}");
  write("shop_cart", rest);
  microseg.track("Product Removed", item(p, quantity));
}

export const compared = () => read("shop_compare", "[]").filter(find);
export const keepCompared = (ids) => write("shop_compare", [...new Set(ids)].slice(-4));
export const compare = (p) => keepCompared([...compared().filter((id) => id !== p.id), p.id]);
export const uncompare = (p) => write("shop_compare", compared().filter((id) => id !== p.id));
