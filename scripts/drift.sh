#!/usr/bin/env bash
# Regenerates what is generated, in place, and fails if git sees a difference.
set -euo pipefail
cd "$(dirname "$0")/.."
go generate ./...
if [ -n "$(git status --porcelain -- graph docs web)" ]; then
	git status --porcelain -- graph docs web
	git --no-pager diff -- graph docs web | head -100
	echo "generated files differ from their sources: run scripts/drift.sh and commit"
	exit 1
fi
