# A PostgreSQL for whoever holds this shell's standard input open: it is started in a folder of its
# own, which is printed once the server answers at a socket there, and both are gone when the input
# ends. It has no port, and no other server is touched. `missing` is printed where it can't be had.
set -eu
# Debian has its programs on nobody's path.
newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
PATH=$PATH${newest:+:$newest}
command -v initdb >/dev/null || { echo missing; exit 1; }

# A Ctrl-C is for whoever started this, and the input ends with them.
trap '' INT
dir=$(mktemp -d "${TMPDIR:-/tmp}/redlock-quorum-postgres.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
as=
if [ "$(id -u)" = 0 ]; then
  # It refuses to run as root, and its package has made a user for it.
  chown postgres .
  as='setpriv --reuid postgres --regid postgres --init-groups --'
fi

$as initdb -D data -U postgres -A trust -E UTF8 --no-locale --no-sync >&2
cat >>data/postgresql.conf <<END
listen_addresses = ''
unix_socket_directories = '$dir'
fsync = off
END
$as postgres -D data >data/log 2>&1 &
tries=0
until pg_isready -q -h "$dir"; do
  tries=$((tries + 1))
  if [ "$tries" = 300 ]; then cat data/log >&2; kill -KILL $!; exit 1; fi
  sleep 0.1
done
echo "$dir"
read -r _ || true
kill -QUIT $!
wait $! || true
