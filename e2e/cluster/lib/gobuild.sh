# Shared by everything that builds Go programs into the cache: cache place, lock, progress lines.
# It is sourced, builds nothing by itself and never writes to the checkout.
# Invariant: standard output stays empty (callers may print a path there); progress is on stderr.
# shellcheck shell=bash
CACHE=${VMIMAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vmimage-operator}
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-mod=readonly -trimpath -buildvcs=false" GOWORK=off
started=$SECONDS

say() { printf '%4d s  %s\n' "$((SECONDS - started))" "$*" >&2; }

go_version() { command -v go >/dev/null || { echo "go is not in PATH (1.26 or newer is needed)" >&2; return 1; }; go env GOVERSION GOOS GOARCH; }

# cached_build DEST: takes the lock of DEST and sets $tmp, an empty directory beside it that is
# removed at exit. Returns 1 if DEST exists by now.
cached_build() {
  local dest=$1
  mkdir -p "$CACHE"
  exec {cache_lock}>"$dest.lock"
  until flock -n "$cache_lock"; do
    say "another build of ${dest##*/} is running: waiting for it"
    flock -w 15 "$cache_lock" && break
  done
  [ ! -d "$dest" ] || return 1
  tmp=$CACHE/.tmp-${dest##*/}
  rm -rf "$tmp"; mkdir "$tmp"
  trap 'rm -rf "$tmp"' EXIT
}

# go_build LDFLAGS OUT PACKAGE...: one `go build`, with a line every 10 s. The compiler collects its own garbage
# seldom, and describes nothing to debuggers, which the linker would leave out: together a third of the time.
go_build() {
  local ld=$1 out=$2 log rc=0 pid; shift 2
  log=$tmp/go.log
  say "go build $*"
  GOGC=400 GOMEMLIMIT=2GiB \
    go build -v -gcflags=all=-dwarf=false -ldflags "$ld" -o "$out" "$@" >"$log" 2>&1 & pid=$!
  for ((i = 1; ; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 1
    [ $((i % 10)) != 0 ] || say "  $(wc -l <"$log") packages compiled or fetched, last: $(tail -n 1 "$log")"
  done
  wait "$pid" || rc=$?
  [ $rc = 0 ] || { tail -n 30 "$log" >&2; say "go build failed"; return $rc; }
  rm "$log"
}
