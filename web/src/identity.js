// Who the visitor is, and whether anything may be known of them.

import { local, optIn, parse, uuid } from "./env.js";

export const consents = () => parse(local.get("consent"), {});

// allowed: without consent nothing is collected, asked for or stored.
export function allowed() {
  if (navigator.globalPrivacyControl) return false;
  const { analytics } = consents();
  return optIn ? analytics === true : analytics !== false;
}

// anonymousId is random and made when it is first needed; tabs share it.
export function anonymousId() {
  let id = local.get("anonymous_id");
  if (!id) local.set("anonymous_id", id = uuid());
  return id;
}

export const userId = () => local.get("user_id");

// setUser keeps who the visitor is, and the proof of it that the site's server has made.
export function setUser(id, proof) {
  if (proof) local.set("proof", proof);
  else if (String(id) !== userId()) local.remove("proof");
  local.set("user_id", String(id));
}

// proofOf is the proof of a userId, undefined without one.
export const proofOf = (id) => (id && id === userId() && local.get("proof")) || undefined;

// forget drops all that is kept of the visitor; declined is link.js's.
export function forget() {
  for (const key of ["anonymous_id", "user_id", "proof", "skew", "declined"]) local.remove(key);
}
