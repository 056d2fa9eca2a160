#!/bin/sh
# Checks that each layer of the library names only layers below it.
#
#   tests/layers.sh [DIR]
#
#   DIR  the crate's folder, default the one that this script is in
#
# It reads all paths, in `use` and elsewhere, but no comments. It takes `use` trees
# apart and resolves `self` and `super`. A type that the crate's root re-exports
# counts as its own module's. It prints each offending line, and then fails.
# tests/layers-selftest.sh checks that each rule can fail.
set -eu

dir=${1:-$(dirname "$0")/..}

# never FOLDER PATHS          no path there begins with one of these
# only FOLDER PATHS           all paths there into this crate begin with one of these
# word FOLDER REGEX [EXCEPT]  no line there matches this, but in this folder
RULES='
never src/engine crate::(node|driver|guard|client)
only  src/engine crate::(engine|claim|protocol|exchange|config|error|node_error|key|label|token|permit|mutant|spelled) src/engine/stepper
never src/engine tokio::(net|time|task|runtime|spawn|io|fs|process|signal)
never src/engine std::(net|thread|time::Instant|time::SystemTime)
word  src/engine (^|[^A-Za-z0-9_])tokio_util([^A-Za-z0-9_]|$)
word  src/engine [.]endpoints([^A-Za-z0-9_]|$)
word  src/engine (^|[^A-Za-z0-9_])world([^A-Za-z0-9_]|$) src/engine/stepper
word  src/engine #[[]path
word  src/engine (^|[^A-Za-z0-9_])Context([^A-Za-z0-9_]|$)
word  src/engine (^|[^A-Za-z0-9_])(Instant|SystemTime)::now([^A-Za-z0-9_]|$) src/engine/stepper
word  src/engine [.]world([^A-Za-z0-9_]|$)
never src/claim crate::(engine|driver|guard|client|node)
only  src/claim crate::(claim|error|node_error|key|mutant|protocol|token|spelled)
never src/config crate::(client|driver|engine|guard)
never src/guard crate::client
only  src/protocol crate::(protocol|mutant)
never src/driver crate::(guard|client)
never src/node crate::(engine|driver|guard|client)
never src/exchange.rs crate::(node|engine|driver)
'
export RULES

cd "$dir"
# The root comes first, for what it exports.
{ echo src/lib.rs; find src -name '*.rs' ! -path src/lib.rs | sort; } | xargs awk '
BEGIN {
  count = split(ENVIRON["RULES"], line, "\n")
  for (i = 1; i <= count; i++) {
    if ((words_in = split(line[i], word, " ")) >= 3) {
      rules++
      kind[rules] = word[1]; folder[rules] = word[2]; pattern[rules] = word[3]
      except[rules] = words_in > 3 ? word[4] : "-"
    }
  }
}

# A file begins: finds out which module it is and which rules are about it.
FNR == 1 {
  use = ""
  file = FILENAME
  module = file
  sub(/^src\//, "", module); sub(/\.rs$/, "", module)
  sub(/(^|\/)(mod|lib)$/, "", module)
  gsub(/\//, "::", module)
  module = module == "" ? "crate" : "crate::" module
  here = module
  mine = 0
  for (i = 1; i <= rules; i++) {
    applies[i] = (file == folder[i] || index(file, folder[i] "/") == 1) && index(file, except[i] "/") != 1
    mine += applies[i]
  }
}

file == "src/lib.rs" || mine {
  code = $0
  sub(/(^|[ \t])\/\/.*/, "", code)
  # `super` in an inline module, as tests are, is the file itself.
  if (code ~ /^(pub.* )?mod [a-z_]+ \{/) here = module "::" "inline"
  if (code ~ /^\}/) here = module
  words(code)
  # A `use` begins with a path that goes on or ends; in a text it is a word.
  if (use == "" && match(code, /(^|[ \t{;])use[ \t]+[A-Za-z_:][A-Za-z0-9_:*]*([ \t]*[{;]|[ \t]+as[ \t]|$)/)) {
    use = substr(code, RSTART)
    sub(/^[ \t{;]*use[ \t]+/, "", use)
    began = FNR
    inline(substr(code, 1, RSTART - 1))
  } else if (use != "") use = use " " code
  else inline(code)
  if ((end = index(use, ";")) > 0) {
    at = began
    expand("", substr(use, 1, end - 1))
    use = ""
  }
}

END { exit failed }

function words(text,    i) {
  for (i = 1; i <= rules; i++)
    if (applies[i] && kind[i] == "word" && text ~ pattern[i]) offends(i, FNR, text)
}

# All paths in code that is no `use`.
function inline(text,    before) {
  while (match(text, /(crate|self|super|std|tokio)(::[A-Za-z_][A-Za-z0-9_]*)+/)) {
    before = RSTART > 1 ? substr(text, RSTART - 1, 1) : " "
    at = FNR
    if (before !~ /[A-Za-z0-9_]/) path(substr(text, RSTART, RLENGTH))
    text = substr(text, RSTART + RLENGTH)
  }
}

# All paths of a `use` tree.
function expand(prefix, tree,    open, depth, i, from, char) {
  gsub(/^[ \t]+|[ \t]+$/, "", tree)
  open = index(tree, "{")
  if (open == 0) {
    sub(/[ \t]+as[ \t]+.*/, "", tree)
    if (tree != "") path(prefix tree)
    return
  }
  prefix = prefix substr(tree, 1, open - 1)
  depth = 0
  from = open + 1
  for (i = open; i <= length(tree); i++) {
    char = substr(tree, i, 1)
    if (char == "{") depth++
    else if (char == "}") depth--
    if (depth == 0 || depth == 1 && char == ",") {
      expand(prefix, substr(tree, from, i - from))
      from = i + 1
    }
    if (depth == 0) return
  }
}

function path(name,    base, i, part) {
  gsub(/[ \t]/, "", name)
  sub(/^::/, "", name)
  sub(/::self$/, "", name)
  sub(/^self::super/, "super", name)
  if (name ~ /^self(::|$)/) sub(/^self/, here, name)
  if (name ~ /^super(::|$)/) {
    base = here
    while (name ~ /^super(::|$)/) {
      sub(/::[^:]*$/, "", base)
      sub(/^super(::)?/, "", name)
    }
    name = name == "" ? base : base "::" name
  }
  if (file == "src/lib.rs") {
    if (split(name, part, "::") == 2 && part[2] != "*") from_root[part[2]] = part[1]
    return
  }
  if (split(name, part, "::") > 1 && part[1] == "crate" && part[2] in from_root)
    sub(/^crate/, "crate::" from_root[part[2]], name)
  for (i = 1; i <= rules; i++)
    if (applies[i] && kind[i] != "word" && is_wrong(kind[i], pattern[i], name)) offends(i, at, name)
}

# A name of the whole root, or of all that is in it, may stand for anything.
function is_wrong(how, these, name,    root) {
  root = these
  sub(/::.*/, "", root)
  if (name == root || name == root "::*") return 1
  if (how == "only") return name ~ "^" root "::" && name !~ "^(" these ")(::|$)"
  return name ~ "^(" these ")(::|$)"
}

function offends(rule, number, what) {
  gsub(/^[ \t]+/, "", what)
  printf "%s:%d: %s: %s %s %s\n", file, number, what, folder[rule], said(kind[rule]), pattern[rule]
  failed = 1
}

function said(how) {
  return how == "only" ? "names of this crate only" : "never names"
}
' || exit 1
