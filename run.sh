#!/usr/bin/env bash
# microseg: one command. Without arguments: set-up and the demo; "test": set-up and all tests.
set -euo pipefail
cd "$(dirname "$0")"
if [ "${1:-}" = test ]; then
  go vet ./... && exec go test -timeout 20m ./...
fi
go build -o .microseg/bin/microseg ./cmd/microseg
exec .microseg/bin/microseg "$@"
