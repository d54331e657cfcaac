#!/bin/sh
# Builds web/graphiql/dist, which is committed: the server needs no Node.js.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund
rm -rf dist
# The fonts are inlined, so that the page asks nobody else for anything.
./node_modules/.bin/esbuild main.jsx --bundle --minify --format=esm --target=es2022 --jsx=automatic \
  --define:process.env.NODE_ENV='"production"' --loader:.woff2=dataurl --loader:.ttf=dataurl --loader:.svg=dataurl \
  --legal-comments=linked --charset=utf8 --outfile=dist/graphiql.js
