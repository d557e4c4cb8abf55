#!/usr/bin/env bash
# Compiles the TypeScript programs and runs the test files named, one after another. `./dev test` has installed the
# packages.
set -euo pipefail
cd "$(dirname "$0")"
[ -d node_modules ] || { echo "node_modules is missing; ./dev test installs it (npm ci)"; exit 1; }
./node_modules/.bin/tsc -p tsconfig.json
exec node --test --test-concurrency=1 --test-reporter=./reporter.mjs "$@"
