#!/bin/sh
# Makes a container image of the Redis (or Valkey) server that is installed on
# this machine, for container tests where no registry can be reached.
#
#   tests/redis-image.sh [-f] [IMAGE]
#
#   IMAGE  the name to give it, default redlock-test/redis:local
#   -f     make it also if an image of that name is already there
#
# Then: REDLOCK_TEST_IMAGE=redlock-test/redis:local cargo test ...
set -eu

fail() {
  echo "redis-image.sh: $*" >&2
  exit 1
}

force=no
if [ "${1-}" = -f ]; then
  force=yes
  shift
fi
[ $# -le 1 ] || fail 'usage: redis-image.sh [-f] [IMAGE]'
image=${1:-redlock-test/redis:local}
case $image in -*) fail 'usage: redis-image.sh [-f] [IMAGE]' ;; esac

command -v docker >/dev/null || fail 'no docker program here; install docker'
docker version >/dev/null 2>&1 ||
  fail 'docker cannot reach its engine; start it, or see DOCKER_HOST'
if [ "$force" = no ] && docker image inspect "$image" >/dev/null 2>&1; then
  echo "redis-image.sh: $image is already there"
  exit 0
fi

server=$(command -v redis-server || command -v valkey-server) ||
  fail 'no redis-server or valkey-server on PATH; apt-get install redis-server'
command -v ldd >/dev/null || fail 'no ldd here to list the libraries of the server'

work=$(mktemp -d)
tree=$work/root
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Follows links: a server may be one, to a program with another name that acts
# by the name it was called with.
take() {
  mkdir -p "$tree${2%/*}"
  [ -e "$tree$2" ] || cp -L "$1" "$tree$2"
}

# Every absolute path that ldd names: the libraries and the loader. A static
# program has none.
libraries() {
  ldd "$1" 2>/dev/null | tr ' \t' '\n\n' | grep '^/' | sort -u || :
}

take "$server" /usr/local/bin/redis-server
for library in $(libraries "$server"); do
  take "$library" "$library"
done
mkdir -p "$tree/data" "$tree/etc" "$tree/tmp"
chmod 755 "$tree" "$tree/usr/local/bin/redis-server"
chmod 1777 "$tree/data" "$tree/tmp"
echo 'root:x:0:0:root:/:/none' >"$tree/etc/passwd"
echo 'root:x:0:' >"$tree/etc/group"

tar -C "$tree" --owner=0 --group=0 --numeric-owner -cf "$work/image.tar" .
old=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null || :)
docker import \
  --change 'ENV PATH=/usr/local/bin' \
  --change 'WORKDIR /data' \
  --change 'EXPOSE 6379' \
  --change 'CMD ["redis-server","--save","","--appendonly","no","--protected-mode","no"]' \
  "$work/image.tar" "$image" >/dev/null || fail "docker could not import $image"
# The image that had the name before has none now; one in use has to stay.
[ -z "$old" ] || docker image rm "$old" >/dev/null 2>&1 || :
echo "redis-image.sh: made $image from $server ($("$server" --version | cut -d ' ' -f 1-3))"
