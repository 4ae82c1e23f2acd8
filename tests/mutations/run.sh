#!/usr/bin/env bash
# Seeds one bug at a time into a copy of the workspace and demands that the tests see it: `just mutations`.
#
# Each *.patch begins with a sentence that says what the bug does, and lines "caught by: " with what to give to `cargo test`. Each of these must pass
# without the bug and fail with it; a mutant that does not compile counts as an error. Takes about half an hour.
# With names of patches as arguments only those are tried.
set -euo pipefail
patches=$(cd "$(dirname "$0")" && pwd)
cd "$patches/../.."
place=${CARGO_TARGET_DIR:-$PWD/target}/mutations
tree=$place/tree
rm -rf "$tree"
mkdir -p "$tree"
tar --exclude=./target --exclude=./.git --exclude=./fuzz/target --exclude=./fuzz/corpus --exclude=node_modules -cf - . | tar -xf - -C "$tree"
cd "$tree"
# Newer than what was built of the last mutant here, or cargo takes that for them.
sed -n 's/^+++ b\///p' "$patches"/*.patch | sort -u | xargs touch
export CARGO_TARGET_DIR=$place/target CARGO_TERM_COLOR=never RUST_BACKTRACE=0
log=$place/log

if [ $# -gt 0 ]; then names=("$@"); else names=($(cd "$patches" && ls -- *.patch | sed 's/\.patch$//')); fi
suites_of() { sed -n 's/^caught by: //p' "$patches/$1.patch"; }
suite() { timeout 900 cargo test --locked --quiet $1 >"$log" 2>&1 </dev/null; }

for name in "${names[@]}"; do suites_of "$name"; done | sort -u | while read -r suite; do
  suite "$suite" || { echo "cargo test $suite fails without a bug:"; tail -40 "$log"; exit 1; }
done

missed=0
printf '%-36s %-30s %s\n' bug 'cargo test' 'seen by'
for name in "${names[@]}"; do
  if ! patch -p1 --force --silent --no-backup-if-mismatch <"$patches/$name.patch"; then
    printf '%-36s does not apply\n' "$name"
    exit 1
  fi
  while read -r suite; do
    if ! cargo test --locked --quiet --no-run $suite >"$log" 2>&1 </dev/null; then
      verdict='ERROR: does not compile'; missed=$((missed + 1))
    elif suite "$suite"; then
      verdict='NOT SEEN'; missed=$((missed + 1))
    else
      failed=$(sed -n 's/^    \([a-z_0-9:]*\)$/\1/p' "$log" | sort -u)
      verdict="$(head -3 <<<"$failed" | paste -sd' ') $([ "$(wc -l <<<"$failed")" -le 3 ] || echo "and $(($(wc -l <<<"$failed") - 3)) more")"
      [ -n "$failed" ] || { verdict='ERROR: fails otherwise'; missed=$((missed + 1)); }
    fi
    printf '%-36s %-30s %s\n' "$name" "$suite" "$verdict"
  done < <(suites_of "$name")
  patch -p1 --force --silent --reverse --no-backup-if-mismatch <"$patches/$name.patch"
done
[ $missed = 0 ] && echo "${#names[@]} bugs, each seen" || { echo "$missed not seen"; exit 1; }
