#!/bin/sh
# Sees to it that the tests have what they talk to: a server program, also where containers are
# the nodes, since masters and replicas must reach each other and containers don't by their
# published ports; a browser with its driver, for the page; haproxy, for one test; and PostgreSQL, for
# another. Installs by the system's package manager what is not there. Never touches a server that
# runs already.
set -eu

say() { printf 'setup: %s\n' "$*" >&2; }

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

has_redis() {
  command -v "${REDLOCK_TEST_SERVER:-redis-server}" >/dev/null || command -v valkey-server >/dev/null
}

install_redis() {
  say 'no Redis server here: installing redis-server'
  if command -v apt-get >/dev/null; then
    # Debian starts the service it installs; these tests start their own.
    $sudo apt-get update -qq
    RUNLEVEL=1 $sudo apt-get install -y -qq redis-server >/dev/null
  elif command -v dnf >/dev/null; then
    $sudo dnf install -y -q valkey || $sudo dnf install -y -q redis
  elif command -v apk >/dev/null; then
    $sudo apk add -q redis
  elif command -v pacman >/dev/null; then
    $sudo pacman -S --noconfirm --needed valkey
  elif command -v brew >/dev/null; then
    brew install --quiet redis
  else
    say 'no package manager that is known: install redis-server or valkey-server'
    exit 1
  fi
}

# Each driver's package brings the browser of its version.
install_browser() {
  say 'no chromedriver here: installing it with Chromium'
  if command -v apt-get >/dev/null; then
    $sudo apt-get update -qq
    # As Debian names it, and as Ubuntu does.
    $sudo apt-get install -y -qq chromium-driver >/dev/null ||
      $sudo apt-get install -y -qq chromium-chromedriver >/dev/null
  elif command -v dnf >/dev/null; then
    $sudo dnf install -y -q chromium chromedriver
  elif command -v apk >/dev/null; then
    $sudo apk add -q chromium chromium-chromedriver
  elif command -v pacman >/dev/null; then
    $sudo pacman -S --noconfirm --needed chromium
  elif command -v brew >/dev/null; then
    brew install --quiet --cask chromium chromedriver
  else
    say 'no package manager that is known: install Chromium and chromedriver'
    exit 1
  fi
}

has_haproxy() { command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ]; }

# One test is about it, and passes over itself where it is missing.
install_haproxy() {
  say 'no haproxy here: installing it'
  if command -v apt-get >/dev/null; then
    $sudo apt-get update -qq
    RUNLEVEL=1 $sudo apt-get install -y -qq haproxy >/dev/null
  elif command -v dnf >/dev/null; then
    $sudo dnf install -y -q haproxy
  elif command -v apk >/dev/null; then
    $sudo apk add -q haproxy
  elif command -v pacman >/dev/null; then
    $sudo pacman -S --noconfirm --needed haproxy
  elif command -v brew >/dev/null; then
    brew install --quiet haproxy
  fi
}

has_postgres() { command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }

# One test and an example are about it. They start a server of their own, so none is made of the
# package: Debian does that for whoever installs it, unless it is told not to before.
install_postgres() {
  say 'no PostgreSQL here: installing it'
  if command -v apt-get >/dev/null; then
    quiet="$sudo env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq"
    $sudo apt-get update -qq
    $quiet postgresql-common >/dev/null &&
      $sudo sed -ri 's/^#?(create_main_cluster) .*/\1 = false/' /etc/postgresql-common/createcluster.conf &&
      $quiet postgresql >/dev/null
  elif command -v dnf >/dev/null; then
    $sudo dnf install -y -q postgresql-server
  elif command -v apk >/dev/null; then
    $sudo apk add -q postgresql setpriv
  elif command -v pacman >/dev/null; then
    $sudo pacman -S --noconfirm --needed postgresql
  elif command -v brew >/dev/null; then
    brew install --quiet postgresql
  fi
}

has_redis || install_redis
command -v chromedriver >/dev/null || install_browser
has_haproxy || install_haproxy || say 'haproxy can not be installed: one test is left out'
has_postgres || install_postgres || say 'PostgreSQL can not be installed: one test is left out'
