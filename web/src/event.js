// Events in the form of the Segment spec, as the collector and event/ read them.

import { doc, iso, uuid } from "./env.js";
import { anonymousId, consents, proofOf, userId } from "./identity.js";

export const version = "1.0.0";

// Only some browsers tell of the network.
const { connection = {} } = navigator;

// A link's token links whoever sees it, and link.js may not have taken it away yet.
const withoutLink = (text) => text.replace(/([?&])ms_link=[^&#]*&?/, "$1").replace(/[?&](?=#|$)/, "");

export function pageNow(referrer) {
  const { pathname: path, search, href } = location;
  return { path, search: withoutLink(search), url: withoutLink(href), title: doc.title, referrer };
}

// Apple's tablets call themselves desktops. Elsewhere the user agent is right,
// and the server reads it: it knows the crawlers, too.
const tablet = /Macintosh/.test(navigator.userAgent) && navigator.maxTouchPoints > 1;

// build makes an event on a page; members that are undefined are not sent.
export function build(type, page, fields) {
  const user = fields.userId || userId() || undefined;
  return {
    type,
    ...fields,
    messageId: uuid(),
    anonymousId: anonymousId(),
    userId: user,
    timestamp: iso(),
    context: {
      library: { name: "microseg.js", version },
      page,
      proof: proofOf(user), // the collector takes it out
      userAgent: navigator.userAgent,
      locale: navigator.language,
      screen: { width: screen.width, height: screen.height, density: devicePixelRatio },
      device: tablet ? { type: "tablet" } : undefined,
      network: { effectiveType: connection.effectiveType, type: connection.type },
      consent: { categoryPreferences: { analytics: true, ...consents() } },
    },
  };
}
