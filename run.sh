#!/usr/bin/env bash
# microseg: one command, nothing needed outside this folder but Go (and npm, for
# the embedded ClickHouse; and Node.js, for the tests).
#
#   ./run.sh                    set-up, build, and the demo
#   ./run.sh --input FILE ...   the same with the demo's flags (--json, --resume)
#   ./run.sh test               set-up, go vet and all tests
#   ./run.sh faults ...         kill everything again and again, and compare with
#                               the oracle (--events N --duration 15m --seed N)
#   ./run.sh attack ...         do what a stranger can do, to a stack of its own or,
#                               with --url, to a node (--scale 0.1, --only NAMES)
#   ./run.sh bench ...          measure throughput, latency, serving, memory, a restart
#                               (./run.sh bench --help)
#   ./run.sh bench peers ...    measure a plain Go loop, a Flink job and microseg on one
#                               Kafka, in turns (--events N --only throughput)
#   ./run.sh WORD ...           any other word goes to the binary (./run.sh --help)
#
# What it gets and builds lies in .cache/ and .microseg/. It speaks on stderr;
# stdout is the binary's.
set -euo pipefail
called_in=$PWD # files are named as seen from there
cd "$(dirname "$0")"

say() { printf 'run.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Go keeps its caches in the home folder; where there is none, in the clone.
if [ -z "${HOME:-}" ] || [ ! -w "${HOME:-/nonexistent}" ]; then
  export GOPATH="${GOPATH:-$PWD/.cache/go}" GOCACHE="${GOCACHE:-$PWD/.cache/go-build}"
fi

check_go() {
  command -v go >/dev/null || die "Go is missing. Install Go 1.26 or later (https://go.dev/dl) and put it on the PATH."
  local version major minor
  # Go 1.21 and later fetch the version that go.mod asks for, where they may.
  version=$(go env GOVERSION) || die "go env fails; its words are above. Install Go 1.26 or later (https://go.dev/dl)."
  IFS=. read -r major minor _ <<<"${version#go}"
  minor=${minor%%[!0-9]*}
  if [ "$major" -lt 1 ] || { [ "$major" -eq 1 ] && [ "${minor:-0}" -lt 26 ]; }; then
    die "this is $version, but microseg needs Go 1.26 or later (https://go.dev/dl)."
  fi
}

# The embedded ClickHouse: the version and SHA-512 that the lock file pins. The
# mark comes last, so that what is half installed does not look installed. The
# layout is that of embedded/clickhouse, which finds it there.
get_clickhouse() {
  local pins=embedded/clickhouse/npm to=.cache/clickhouse
  [ -z "${MICROSEG_CLICKHOUSE_DSN:-}" ] || { say "ClickHouse: the one that MICROSEG_CLICKHOUSE_DSN names"; return; }
  [ -z "${MICROSEG_CHDB_LIB:-}" ] || return 0
  if command -v clickhouse >/dev/null || command -v clickhouse-server >/dev/null; then
    say "ClickHouse: the one on the PATH"
    return
  fi
  if [ -e "$to/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so" ] && cmp -s "$pins/package-lock.json" "$to/installed.json"; then
    return
  fi
  local else_do="put \`clickhouse\` on the PATH, or set MICROSEG_CLICKHOUSE_DSN=clickhouse://user:password@host:9000/database"
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "there is no embedded ClickHouse for $(uname -s) on $(uname -m): $else_do."
  command -v npm >/dev/null || die "npm is missing, which gets the embedded ClickHouse: install Node.js 18 or later, $else_do."
  say "getting the embedded ClickHouse into $to (about 570 MB, once) ..."
  mkdir -p "$to"
  rm -f "$to/installed.json"
  cp "$pins/package.json" "$pins/package-lock.json" "$to/"
  npm ci --no-audit --no-fund --ignore-scripts --prefix "$to" --cache .cache/npm >&2 ||
    die "npm ci failed; its words are above. Without a network: $else_do."
  # npm's own copy of the package has served; it is as large as the library.
  rm -rf .cache/npm
  cp "$pins/package-lock.json" "$to/installed.json"
}

# Tests run the tracking libraries of others in Node; they fetch those
# themselves, as pinned in testing/harness/clients.
check_node() {
  local major
  command -v node >/dev/null && command -v npm >/dev/null || die "the tests need Node.js 18 or later with npm: install it and put node and npm on the PATH."
  major=$(node --version) && major=${major#v} && major=${major%%.*}
  [ "$major" -ge 18 ] || die "this is Node.js $(node --version), but the tests need 18 or later."
}

# build_to NAME PACKAGE: a program beside the binary.
build_to() {
  go build -o ".microseg/bin/$1" "$2" || die "the build failed; the compiler's words are above."
}

build() {
  [ -x .microseg/bin/microseg ] || say "building (the first time takes a few minutes) ..."
  mkdir -p .microseg/bin
  # What `microseg version` says, also where Go is told to look at no checkout.
  local commit="" dirty=""
  if commit=$(git log -1 --format='%H of %cI' 2>/dev/null) && [ -n "$(git status --porcelain 2>/dev/null | head -n 1)" ]; then dirty=true; fi
  go build -ldflags "-s -w -X 'main.commit=$commit' -X main.dirty=$dirty" -o .microseg/bin/microseg ./cmd/microseg || die "the build failed; the compiler's words are above."
}

case "${1:-} ${2:-}" in
"-h "* | "--help "*) ;;
" "* | -*) set -- demo "$@" ;;
"bench peers") shift 2 && set -- bench-peers "$@" ;;
esac

check_go
case "$1" in
test)
  shift
  check_node
  get_clickhouse
  say "go vet ./..."
  go vet ./...
  say "go test ./... (the first time takes a few minutes)"
  exec go test -timeout 20m "$@" ./...
  ;;
bench)
  shift
  get_clickhouse
  build
  build_to bench ./cmd/bench
  MICROSEG_CALLED_IN=$called_in exec .microseg/bin/bench "$@"
  ;;
faults | attack | bench-peers)
  suite=${1#bench-}
  shift
  get_clickhouse
  build
  [ "$suite" != peers ] || build_to bench ./cmd/bench
  build_to "$suite" "./testing/$suite/cmd"
  exec ".microseg/bin/$suite" "$@"
  ;;
demo | up | clickhouse | sql) get_clickhouse ;;
esac
build
MICROSEG_CALLED_IN=$called_in exec .microseg/bin/microseg "$@"
