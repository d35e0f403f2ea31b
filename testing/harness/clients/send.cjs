// Sends n events of every kind with a library as its users would:
//   NODE_PATH=<node_modules> node send.cjs <library> <collector URL> <write key> <n> [<ms that it may take>]
// Each event carries library, kind and number as its mark, where its kind has room for it.
'use strict'
const [library, url, key, count, patience = '30000'] = process.argv.slice(2)
const n = Number(count)
const fail = (e) => { console.error(e); process.exit(1) }
process.on('unhandledRejection', fail)
// Where a library gives up (Mixpanel's at once, RudderStack's after three tries), it tells its caller,
// who has to send again, as docs/collector.md says.
const done = (start, until = Date.now() + Number(patience)) => new Promise((ok, no) => start((e) => {
  if (!e || (Array.isArray(e) && !e.some(Boolean))) ok()
  else if (Date.now() > until) no(e)
  else setTimeout(() => done(start, until).then(ok, no), 300)
}))
const mark = (kind, i) => `${library}-${kind}-${i}`

async function segment() {
  const { Analytics } = require('@segment/analytics-node')
  const a = new Analytics({ writeKey: key, host: url, flushAt: 7, flushInterval: 50 })
  a.on('error', fail)
  for (let i = 0; i < n; i++) {
    a.track({ anonymousId: `s${i}`, event: 'Product Viewed', properties: { mark: mark('track', i), price: 12.5 } })
    a.page({ anonymousId: `s${i}`, name: 'Home', properties: { mark: mark('page', i), path: '/' } })
    a.screen({ userId: `su${i}`, name: 'Home', properties: { mark: mark('screen', i) } })
    a.identify({ userId: `su${i}`, anonymousId: `s${i}`, traits: { mark: mark('identify', i) } })
    a.group({ userId: `su${i}`, groupId: 'g', traits: { mark: mark('group', i) } })
    a.alias({ userId: mark('alias', i), previousId: `s${i}` })
  }
  await a.closeAndFlush({ timeout: Number(patience) })
}

// One call for each of n users, in batches of the size that the library has.
async function users() {
  const { Analytics } = require('@segment/analytics-node')
  const a = new Analytics({ writeKey: key, host: url, maxEventsInBatch: 100 })
  a.on('error', fail)
  for (let i = 0; i < n; i++) {
    a.track({ userId: `user-${i}`, event: 'Order Completed', properties: { mark: mark('order', i), revenue: 10, order_id: `o${i}` } })
    if (i % 500 === 499) await new Promise((ok) => setTimeout(ok))
  }
  await a.closeAndFlush({ timeout: Number(patience) })
}

async function rudderstack() {
  const Rudder = require('@rudderstack/rudder-sdk-node')
  const r = new Rudder(key, { dataPlaneUrl: url, flushAt: 7, flushInterval: 50, errorHandler: () => {} })
  const sent = []
  const call = (kind, message) => sent.push(done((cb) => r[kind](message, cb)))
  for (let i = 0; i < n; i++) {
    call('track', { anonymousId: `r${i}`, event: 'Product Viewed', properties: { mark: mark('track', i), price: 12.5 } })
    call('page', { anonymousId: `r${i}`, name: 'Home', properties: { mark: mark('page', i), path: '/' } })
    call('screen', { userId: `ru${i}`, name: 'Home', properties: { mark: mark('screen', i) } })
    call('identify', { userId: `ru${i}`, anonymousId: `r${i}`, traits: { mark: mark('identify', i) } })
    call('group', { userId: `ru${i}`, groupId: 'g', traits: { mark: mark('group', i) } })
    call('alias', { userId: mark('alias', i), previousId: `r${i}` })
  }
  const timer = setInterval(() => r.flush().catch(() => {}), 20) // its callbacks tell, too
  await Promise.all(sent)
  clearInterval(timer)
}

async function mixpanel() {
  const to = new URL(url)
  const m = require('mixpanel').init(key, { host: to.host, protocol: 'http', key: 'unused' })
  const all = []
  for (let i = 0; i < n; i++) {
    all.push(done((cb) => m.track('Product Viewed', { distinct_id: `$device:m${i}`, mark: mark('track', i), price: 12.5, time: new Date() }, cb)))
    all.push(done((cb) => m.import('Product Viewed', new Date(), { distinct_id: `mu${i}`, mark: mark('import', i) }, cb)))
    all.push(done((cb) => m.people.set(`mu${i}`, { mark: mark('people', i) }, cb)))
    all.push(done((cb) => m.alias(`m${i}`, mark('alias', i), cb)))
  }
  const list = (kind) => Array.from({ length: n }, (_, i) => ({ event: 'Product Viewed', properties: { distinct_id: `mb${i}`, mark: mark(kind, i), time: new Date() } }))
  all.push(done((cb) => m.track_batch(list('track_batch'), cb)))
  all.push(done((cb) => m.import_batch(list('import_batch'), cb)))
  await Promise.all(all)
  process.exit(0) // its agents keep connections open
}

;({ segment, users, rudderstack, mixpanel })[library]().catch(fail)
