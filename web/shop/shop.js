// The shop's pages. microseg.js, which is loaded before, collects page views,
// scrolling, hovering, clicks, forms and videos by itself; what is here are the
// events of a shop.
import { euro, find, item, products, shelves } from "./catalogue.js";
import { $, el, picture } from "./dom.js";
import { add, cart, cartCount, cartItems, cartValue, compare, compared, emptyCart, keepCompared, remove, uncompare } from "./store.js";

const money = (p) => el("span", { className: "price", "data-ms-element": "price" }, euro(p.price));

function card(p) {
  return el("li", { className: "card" },
    el("a", { href: "/product/" + p.id }, picture(p), el("h3", {}, p.name)),
    el("p", {}, p.text), money(p),
    el("div", { className: "actions" }, addButton(p), compareButton(p)));
}

const addButton = (p) => el("button", { type: "button", className: "primary", "data-ms-element": "add_to_cart", onclick: () => add(p) }, "Add to cart");

function compareButton(p) {
  const is = () => compared().includes(p.id);
  const b = el("button", { type: "button", onclick: () => (is() ? uncompare(p) : compare(p)) });
  const write = () => {
    b.textContent = is() ? "Compared ✓" : "Compare";
    b.setAttribute("aria-pressed", is());
  };
  document.addEventListener("shop:changed", write);
  write();
  return b;
}

const last = () => decodeURIComponent(location.pathname.split("/").filter(Boolean).pop() ?? "");

const pages = {
  home() {
    $("#list").append(...products.slice(0, 6).map(card));
  },

  category() {
    const name = last();
    const list = products.filter((p) => !shelves[name] || p.shelf === name);
    document.title = $("h1").textContent = shelves[name] ?? "All products";
    $("#list").append(...list.map(card));
    microseg.track("Product List Viewed", { list_id: name, category: list[0].category, products: list.map((p) => item(p)) });
  },

  product() {
    const p = find(last());
    if (!p) return missing();
    document.title = $("h1").textContent = p.name;
    $("#picture").append(picture(p));
    $("#lead").textContent = p.text;
    $("#buy").append(money(p), addButton(p), compareButton(p));
    for (const [name, value] of features(p)) $("#features").append(el("dt", {}, name), el("dd", {}, value));
    $("#stars").textContent = `${p.stars} of 5, from ${p.reviews} reviews`;
    microseg.track("Product Viewed", item(p));
  },

  compare() {
    // What a link names is compared from now on, so that it is here without one, too.
    const named = (new URLSearchParams(location.search).get("ids") ?? "").split(",").filter(find);
    if (named.length) keepCompared(named);
    const list = compared().map(find);
    if (!list.length) {
      $("#table").append(el("p", {}, "Nothing to compare yet. ", el("a", { href: "/category/laptops" }, "Choose from the laptops")));
      return;
    }
    const row = (name, mark, cell) => el("tr", { "data-ms-element": mark }, el("th", { scope: "row" }, name), ...list.map((p) => el("td", {}, cell(p))));
    const labels = features(list[0]).map(([label]) => label);
    $("#table").append(el("table", {},
      el("thead", {}, el("tr", {}, el("td"), ...list.map((p) => el("th", { scope: "col" }, picture(p), el("a", { href: "/product/" + p.id }, p.name))))),
      el("tbody", {},
        row("Price", "price", (p) => euro(p.price)),
        ...labels.map((label, i) => row(label, "features", (p) => features(p)[i][1])),
        row("Reviews", "reviews", (p) => `${p.stars} of 5 (${p.reviews})`),
        row("", "add_to_cart", addButton))));
  },

  cart() {
    showCart();
    document.addEventListener("shop:changed", showCart);
    microseg.track("Cart Viewed", { products: cartItems(), value: cartValue(), currency: "EUR" });
  },

  checkout() {
    $("#total").textContent = euro(cartValue());
    microseg.track("Checkout Started", { products: cartItems(), value: cartValue(), currency: "EUR" });
    $("#order").addEventListener("submit", (e) => {
      e.preventDefault();
      const id = crypto.randomUUID().slice(0, 8);
      sessionStorage.setItem("shop_order", JSON.stringify({ id, total: cartValue(), products: cartItems() }));
      emptyCart();
      location.href = "/order/" + id;
    });
  },

  order() {
    const order = JSON.parse(sessionStorage.getItem("shop_order") ?? "{}");
    $("#number").textContent = last();
    if (order.id !== last()) return; // told already, or somebody else's
    sessionStorage.removeItem("shop_order");
    microseg.track("Order Completed", { order_id: order.id, total: order.total, revenue: order.total, products: order.products, currency: "EUR" });
  },

  blog() {},
};

const features = (p) => [["Screen", p.screen], ["Memory", p.memory], ["Storage", p.storage], ["Battery", p.battery], ["Weight", p.weight]];

function missing() {
  $("h1").textContent = "There is no such product";
}

function showCart() {
  const rows = cart().map(([p, n]) => el("li", { className: "row" }, picture(p), el("a", { href: "/product/" + p.id }, p.name), `× ${n}`, money(p),
    el("button", { type: "button", "aria-label": "Remove " + p.name, onclick: () => remove(p) }, "Remove")));
  $("#items").replaceChildren(...(rows.length ? rows : ["Your cart is empty."]));
  $("#total").textContent = euro(cartValue());
  $("#go").hidden = !rows.length;
}

// The head of every page: counters, signing in and out, consent.
function head() {
  const write = () => {
    $("#cart-count").textContent = cartCount();
    $("#compare-link").href = "/compare?ids=" + compared();
    $("#compare-count").textContent = compared().length;
  };
  document.addEventListener("shop:changed", write);
  write();
  const signed = () => {
    const name = localStorage.getItem("shop_user");
    $("#who").textContent = name ? `Signed in as ${name}` : "Sign in";
    $("#signin").hidden = Boolean(name);
    $("#signout").hidden = !name;
  };
  $("#signin").addEventListener("submit", (e) => {
    e.preventDefault();
    const name = new FormData(e.target).get("user").trim();
    localStorage.setItem("shop_user", name);
    microseg.identify(name, { name });
    signed();
  });
  $("#signout").addEventListener("click", () => {
    localStorage.removeItem("shop_user");
    microseg.reset();
    signed();
  });
  signed();
  const consent = $("#consent");
  consent.checked = microseg.allowed();
  consent.addEventListener("change", () => microseg.consent({ analytics: consent.checked }));
  $("#newsletter").addEventListener("submit", (e) => {
    e.preventDefault();
    e.target.replaceChildren("Thank you. The next letter comes on Monday.");
  });
}

head();
pages[document.body.dataset.page]();
