#!/bin/sh
# Sees to it that there is valgrind, by the system's package manager.
set -eu

command -v valgrind >/dev/null && exit 0
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
for manager in 'apt-get install -y -qq' 'dnf install -y -q' 'apk add -q' 'pacman -S --noconfirm --needed'; do
  if command -v "${manager%% *}" >/dev/null; then
    exec $sudo $manager valgrind
  fi
done
echo 'valgrind: no package manager that is known: install it' >&2
exit 1
