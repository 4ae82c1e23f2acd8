#!/usr/bin/env bash
# Seeds one bug at a time into a copy of the workspace and demands that the tests see it: `just mutations`.
#
# Each *.bug says what it does, in which file, and what to give to `cargo test`, the quickest first; then the text as it is
# (`<<<<`) and with the bug in it (`====` to `>>>>`). The text must stand in the file once. The suites must pass without the
# bug, and one of them fail with it; they are run until one does. Ends with an error if a bug is not seen, does not compile,
# or its text is out of date. With names of bugs as arguments only those are tried.
set -euo pipefail
bugs=$(cd "$(dirname "$0")" && pwd)
cd "$bugs/../.."
# A folder of its own, so that nobody runs a binary with a bug in it by mistake.
place=${CARGO_TARGET_DIR:-$PWD/target}/mutations
tree=$place/tree
log=$place/log
export CARGO_TARGET_DIR=$place/target CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=0
rm -rf "$tree"
mkdir -p "$tree"
tar --exclude=./target --exclude=./.git --exclude=./fuzz/target --exclude=./fuzz/corpus --exclude=node_modules -cf - . | tar -xf - -C "$tree"
cd "$tree"

if [ $# -gt 0 ]; then names=("$@"); else names=($(cd "$bugs" && ls -- *.bug | sed 's/\.bug$//')); fi
field() { sed -n "s/^$2: //p" "$bugs/$1.bug"; }
# Puts the bug in.
seed() {
  python3 - "$bugs/$1.bug" "$(field "$1" in)" <<'PYTHON'
import os, sys
bug, file = sys.argv[1:]
was, _, now = open(bug).read().partition("<<<<\n")[2].removesuffix(">>>>\n").partition("\n====\n")
text = open(file).read()
if text.count(was) != 1:
    sys.exit(f"{bug}: its text stands {text.count(was)} times in {file}")
open(file, "w").write(text.replace(was, now.removesuffix("\n")))
PYTHON
}

for name in "${names[@]}"; do
  cp -p "$(field "$name" in)" "$tree.kept"
  seed "$name"
  cp -p "$tree.kept" "$(field "$name" in)"
done
for name in "${names[@]}"; do touch "$(field "$name" in)"; field "$name" 'caught by'; done | sort -u | while read -r suite; do
  timeout 900 cargo test --locked --quiet $suite >"$log" 2>&1 </dev/null ||
    { echo "cargo test $suite fails without a bug:"; tail -40 "$log"; exit 1; }
done

missed=0
printf '%-36s → %s\n' bug 'caught by'
for name in "${names[@]}"; do
  file=$(field "$name" in)
  cp "$file" "$tree.kept"
  seed "$name"
  verdict='NOT SEEN'
  while read -r suite; do
    if ! cargo test --locked --quiet --no-run $suite >"$log" 2>&1 </dev/null; then
      verdict='ERROR: does not compile'
      break
    fi
    timeout 900 cargo test --locked --quiet $suite >"$log" 2>&1 </dev/null && continue
    failed=$(sed -n 's/^    \([a-z_0-9:]*\)$/\1/p' "$log" | sort -u)
    verdict="$(sed 's/-p //' <<<"$suite"): $(head -3 <<<"$failed" | paste -sd' ')"
    [ "$(wc -l <<<"$failed")" -le 3 ] || verdict+=" and $(($(wc -l <<<"$failed") - 3)) more"
    [ -n "$failed" ] || verdict='ERROR: fails otherwise'
    break
  done < <(field "$name" 'caught by')
  case $verdict in NOT* | ERROR*) missed=$((missed + 1)); cp "$log" "$log.$name" ;; esac
  printf '%-36s → %s\n' "$name" "$verdict"
  cp "$tree.kept" "$file"
done
rm -rf "$tree" "$tree.kept"
if [ $missed = 0 ]; then echo "${#names[@]} bugs, each caught"; else echo "$missed of ${#names[@]} not caught"; exit 1; fi
