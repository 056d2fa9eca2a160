#!/bin/sh
# Plays the tests on real servers again and again beside busy loops, and stops at
# the first failure: a test that passes by luck fails here sooner or later.
# RUNS= how often, ONLY= tests with that in their names, LOOPS= how many loops.
# Ends what it began by its id; a loop that is left alone ends by itself.
set -eu

runs=${RUNS:-20}
loops=${LOOPS:-4}
only=${ONLY:-}
output=$(mktemp)
busy=

end() {
  for loop in $busy; do kill "$loop" 2>/dev/null || :; done
  rm -f "$output"
}
trap end EXIT
trap 'exit 1' HUP INT TERM

play() { cargo test --quiet -p redlock-quorum-tests --test it -- ${only:+$only}; }

# While it spins, who began it is there.
spin() {
  while kill -0 "$1" 2>/dev/null; do
    turn=0
    while [ "$turn" -lt 100000 ]; do turn=$((turn + 1)); done
  done
}

cargo test --quiet -p redlock-quorum-tests --test it --no-run

loop=0
while [ "$loop" -lt "$loops" ]; do
  loop=$((loop + 1))
  spin $$ &
  busy="$busy $!"
done

run=0
while [ "$run" -lt "$runs" ]; do
  run=$((run + 1))
  begun=$(date +%s)
  if ! play >"$output" 2>&1; then
    # From where the harness tells of what failed; all, if it came not so far.
    sed -n '/^failures:$/,$p' "$output" | grep . || cat "$output"
    echo "run $run of $runs failed, beside $loops busy loops" >&2
    exit 1
  fi
  result=$(grep '^test result' "$output") || result=
  case $result in
    '' | *' 0 passed'*) echo "no test of that name: $only" >&2; exit 1 ;;
  esac
  echo "$result"
  echo "run $run of $runs passed in $(($(date +%s) - begun)) s, beside $loops busy loops"
done
