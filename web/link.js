/* microseg: links this browser to the user of a signed link; docs/identity.md */
(() => {
  const tag = document.currentScript;
  const url = new URL(location.href);
  const token = url.searchParams.get("ms_link");
  if (!token) return;
  // Before anything else can see it: history, referrers, page views.
  url.searchParams.delete("ms_link");
  history.replaceState(history.state, "", url);
  const endpoint = (tag.dataset.endpoint || new URL(tag.src).origin).replace(/\/+$/, "");
  const messageId = "link-" + Date.now() + Math.random();
  const tell = (detail) => document.dispatchEvent(new CustomEvent("microseg:link", { detail }));
  const link = async (wait) => {
    // microseg.js may come later, and without consent there is no id, yet.
    const anonymousId = window.microseg && microseg.anonymousId();
    if (!anonymousId) return setTimeout(link, 200, wait);
    let consent = {};
    try { consent = JSON.parse(localStorage.ms_consent); } catch {}
    const body = { token, anonymousId, messageId, writeKey: tag.dataset.writeKey,
      context: { consent: { categoryPreferences: { analytics: true, ...consent } } } };
    try {
      const r = await fetch(endpoint + "/v1/identity/link", { method: "POST", keepalive: true, credentials: "omit", body: JSON.stringify(body) });
      if (r.ok) return tell({ ok: true });
      if (r.status < 500 && r.status !== 429) return tell({ ok: false, ...(await r.json()).error });
    } catch {}
    if (wait < 60000) setTimeout(link, wait, 2 * wait);
    else tell({ ok: false, code: "unreachable" });
  };
  link(1000);
})();
