// Runs a worker until SIGTERM: node run.cjs settings.json
const { Miniflare } = require("miniflare");
const { port, script, bindings } = JSON.parse(require("fs").readFileSync(process.argv[2], "utf8"));

const mf = new Miniflare({ modules: true, script, bindings, host: "127.0.0.1", port, compatibilityDate: "2025-11-01", cache: true });
const end = () => mf.dispose().then(() => process.exit(0));
process.on("SIGTERM", end);
process.on("SIGINT", end);
mf.ready.then((url) => console.log("ready on " + url.host), (e) => {
  console.error(e);
  process.exit(1);
});
