#!/bin/sh
# Sees to it that the tests have a Redis to talk to: a container engine with
# the image, or a server program. Installs redis-server by the system's package
# manager where neither is there. Never touches a server that runs already.
set -eu

say() { printf 'setup: %s\n' "$*" >&2; }

backend=${REDLOCK_TEST_BACKEND:-auto}
case $backend in
  auto | process) ;;
  *) exit 0 ;; # the fixture checks what was asked for, and says what is missing
esac
if command -v "${REDLOCK_TEST_SERVER:-redis-server}" >/dev/null ||
   command -v valkey-server >/dev/null; then
  exit 0
fi
if [ "$backend" = auto ] && command -v docker >/dev/null; then
  image=${REDLOCK_TEST_IMAGE:-redis:7.4-alpine}
  if docker image inspect "$image" >/dev/null 2>&1 || docker pull -q "$image" >/dev/null 2>&1; then
    exit 0
  fi
fi

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
say 'no container image and no Redis server here: installing redis-server'
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
  say 'no package manager that is known: install redis-server or valkey-server, or Docker'
  exit 1
fi
