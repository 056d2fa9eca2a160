#!/bin/sh
# Checks that each rule of tests/layers.sh can fail. It plants forbidden names in
# a copy of the tree, one at a time, and expects the script to print that very
# line and to fail. Names that only look forbidden must not be printed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cp -R "$here/../src" "$work/src"
failed=0
planted=0

# plant FILE LINE TEXT: with TEXT as FILE, the script fails and prints that LINE.
# A file that is there already is put aside meanwhile.
plant() {
  file=src/$1
  mkdir -p "$work/${file%/*}"
  [ ! -e "$work/$file" ] || mv "$work/$file" "$work/kept"
  printf "$3\n" >"$work/$file"
  if sh "$here/layers.sh" "$work" >"$work/out"; then
    failed=1
    echo "layers: it does not fail for $file: $3" >&2
  elif ! grep -q "^$file:$2: " "$work/out"; then
    failed=1
    echo "layers: it does not print line $2 of $file: $3" >&2
  fi
  grep "^$file:" "$work/out" >>"$work/found" || :
  rm "$work/$file"
  [ ! -e "$work/kept" ] || mv "$work/kept" "$work/$file"
  planted=$((planted + 1))
}

# harmless FILE TEXT: with TEXT as a new FILE, the script prints nothing of it.
harmless() {
  file=src/$1
  mkdir -p "$work/${file%/*}"
  printf "$2\n" >"$work/$file"
  sh "$here/layers.sh" "$work" >"$work/out" || :
  if grep "^$file:" "$work/out" >&2; then
    failed=1
    echo "layers: that is printed of $file, and nothing there is forbidden: $2" >&2
  fi
  rm "$work/$file"
}

# The engine decides. It touches no socket, no clock and no runtime.
for part in net time task runtime; do
  plant engine/planted.rs 1 "use tokio::$part::Something;"
  plant engine/planted.rs 2 "fn f() {\n    tokio::$part::something();\n}"
done
for part in node driver guard client; do
  plant engine/planted.rs 1 "use crate::$part::Something;"
  plant engine/planted.rs 1 "use crate::{\n    key::Key,\n    $part::{self, Something},\n};"
done
plant engine/planted.rs 1 'use std::task::{Context, Poll};'
plant engine/planted.rs 1 'fn poll(cx: &mut Context<'"'_>"') {}'
plant engine/planted.rs 1 'fn f() { Instant::now(); }'
plant engine/planted.rs 1 'fn f() { std::time::SystemTime::now(); }'
plant engine/planted.rs 1 'fn f(config: &Config) { config.world.now(); }'
plant engine/planted.rs 1 'fn f() { crate::clock::now(); }'
plant engine/planted.rs 1 'use crate::{acquire::Acquire, held::Held, inspect::Health};'
plant engine/planted.rs 1 'use crate::world::World;'
plant engine/planted.rs 1 'use std::time::{Duration, Instant};'
plant engine/planted.rs 1 'use std::net::TcpStream;'
plant engine/planted.rs 1 'fn f() { std::thread::sleep(d); }'
plant engine/planted.rs 1 'fn f() { tokio::spawn(x); }'
plant engine/planted.rs 1 'use tokio_util::time::DelayQueue;'
plant engine/planted.rs 1 'fn f(c: &Config) { c.endpoints.first(); }'
plant engine/planted.rs 1 'fn f(c: Config) { let Config { world, .. } = c; }'
plant engine/planted.rs 1 '#[path = "../driver/net.rs"]\nmod net;'
# The same names, written in other ways.
plant engine/planted.rs 1 'use tokio::{sync::oneshot, time};'
plant engine/planted.rs 1 'use tokio::*;'
plant engine/planted.rs 1 'use crate::*;'
plant engine/planted.rs 1 'use crate as everything;'
plant engine/planted.rs 1 'use super::super::driver::Something;'
plant engine/planted.rs 1 'use super::super::{key::Key, guard};'
plant engine/deep/planted.rs 1 'use super::super::super::client::Something;'
plant engine/planted.rs 1 'use crate::LockGuard;'
plant engine/planted.rs 1 'use crate::{Error, Redlock as Client};'
plant engine/planted.rs 2 'mod tests {\n    use super::super::super::driver;\n}'
plant engine/planted.rs 1 'fn f(x: &crate::node::Endpoint) {}'

# A claim is below everything that shares it.
for part in engine driver guard client node; do
  plant claim/planted.rs 2 "// Joined, and apart.\nuse crate::{error::Error, $part::Due};"
  plant claim/planted.rs 1 "fn f() -> crate::$part::Due {}"
done

for part in acquire held config world; do
  plant claim/planted.rs 1 "use crate::$part::Something;"
done
for part in engine driver guard client; do
  plant config/planted.rs 1 "use crate::{error::Error, $part::Something};"
done
plant guard/planted.rs 1 'use crate::client::Redlock;'

# The protocol knows nothing but itself.
plant protocol/planted.rs 1 'use crate::key::Key;'
plant protocol/planted.rs 1 'use crate::{\n    mutant,\n    world::World,\n};'
plant protocol/planted.rs 1 'use super::super::error::Error;'
plant protocol/planted.rs 1 'fn f() -> crate::error::Error {}'

for part in guard client; do
  plant driver/planted.rs 1 "use crate::{engine::Engine, $part::Something};"
done
for part in engine driver guard client; do
  plant node/planted.rs 1 "use crate::{key::Key, $part::Something};"
done
for part in node engine driver; do
  plant exchange.rs 1 "use crate::{key::Key, $part::Something};"
done

harmless engine/planted.rs '//! Not [`crate::driver`], nor `tokio::time`: a Context.\nuse crate::node_error::NodeError;'
harmless engine/planted.rs 'use crate::{error::Error, protocol::Moment};\nuse tokio::sync::oneshot;'
harmless engine/planted.rs 'fn f() {} // as crate::node::Link does\nstruct Contextual;'
harmless engine/planted.rs 'const WORDS: &str = "use a longer ttl: redis://node";'
harmless engine/planted/mod.rs 'mod tests {\n    use super::*;\n    use super::super::Engine;\n}'
harmless engine/stepper/planted.rs 'fn f() { Instant::now(); }'
harmless claim/planted.rs 'use super::marks::Marks;\nuse crate::{node_error::NodeError, protocol};'
harmless protocol/planted.rs 'use crate::mutant::{self, Mutant};\nuse super::{Moment, NodeId};'
harmless client/planted.rs 'use crate::{driver, engine, guard, node};'

# Something must have been planted against every rule.
sed -n "/^RULES='/,/^'/p" "$here/layers.sh" | while read -r kind folder pattern _; do
  case $kind in never | only | word) ;; *) continue ;; esac
  grep -F " $folder " "$work/found" | grep -qF " $pattern" ||
    echo "$kind $folder $pattern"
done >"$work/unseen"
if [ -s "$work/unseen" ]; then
  failed=1
  echo 'layers: nothing is planted against these rules:' >&2
  cat "$work/unseen" >&2
fi
[ $failed = 0 ] && echo "layers: $planted forbidden names, each found"
exit $failed
