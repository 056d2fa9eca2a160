#!/bin/sh
# Everything that can be said of the code without running it.
set -eu

cargo fmt --all --check

sh tests/layers-selftest.sh
sh tests/layers.sh

for features in '' tls testing-local testing tower http; do
  echo "clippy: features '$features'"
  cargo clippy --quiet -p redlock-quorum --lib --no-default-features --features "$features" -- -D warnings
done
echo "clippy: the program and the examples"
cargo clippy --quiet -p redlock-quorum --bins --examples --features cli,tower -- -D warnings
echo 'clippy: the whole workspace, all targets'
cargo clippy --quiet --workspace --all-targets -- -D warnings

echo 'clippy: the simulator'
RUSTFLAGS='--cfg redlock_sim' cargo clippy --quiet -p redlock-quorum -p redlock-quorum-sim \
  --features redlock-quorum/testing-local --all-targets --target-dir target/sim -- -D warnings

echo 'docs'
RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps -p redlock-quorum --all-features --document-private-items
RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps -p redlock-quorum --all-features

# What a user builds: at most 78 crates, ours included, and none of them twice,
# with TLS neither. 76 were the limit before the public errors took their texts by
# thiserror; the other two are that and its macro.
tree() { cargo tree -p redlock-quorum -e normal,build --no-default-features --prefix none "$@"; }
count=$(tree --no-dedupe | awk 'NF {print $1, $2}' | sort -u | wc -l)
echo "dependency tree: $((count)) crates"
[ "$count" -le 78 ] || { echo 'more than 78 crates' >&2; exit 1; }
for features in '' tls; do
  twice=$(tree --no-dedupe --features "$features" | awk 'NF {print $1, $2}' | sort -u | cut -d' ' -f1 | uniq -d)
  [ -z "$twice" ] || { echo "in two versions: $twice" >&2; exit 1; }
done

# Every figure that docs promise is there.
! grep -nE '^(FIGURES|TODO)' README.md docs/*.md
