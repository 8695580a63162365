# Sourced by run and planted: Wine prefixes of their own, by default two that work at
# once. Each play has a session of its own, each load in it a process of its own.
wine=/usr/lib/wine/wine64
server=/usr/lib/wine/wineserver64
lanes=${LANES:-2}
export WINEDEBUG=${WINEDEBUG:--all} WINEDLLOVERRIDES='mscoree,mshtml='

# lanes_make OUT: a prefix for each lane, with the double in it. $prefixes says where; gone at exit.
lanes_make() {
  [[ -x $wine && -x $server ]] || {
    echo "wine64 is missing: deploy/setup driver installs it" >&2
    exit 1
  }
  prefixes=$(mktemp -d "${TMPDIR:-/tmp}/assay-wine.XXXXXX")
  trap lanes_end EXIT
  local n system
  WINEPREFIX=$prefixes/0 "$wine" wineboot -i >/dev/null 2>&1
  WINEPREFIX=$prefixes/0 "$server" -k || true
  system=$prefixes/0/drive_c/windows/system32
  mkdir -p "$system/drivers"
  cp "$1/double/assaydbl.sys" "$system/drivers/"
  cp "$1/double/assaydbl.sys" "$system/"
  for ((n = 1; n < lanes; n++)); do
    cp -a --reflink=auto "$prefixes/0" "$prefixes/$n"
  done
  export prefixes
}

# Only the servers of these prefixes, which nobody else uses.
lanes_end() {
  local prefix
  for prefix in "$prefixes"/[0-9]*; do
    WINEPREFIX=$prefix "$server" -k >/dev/null 2>&1 || true
  done
  rm -rf "$prefixes"
}

# play SYS [SCENARIO...]: those scenarios, or all, with this driver, in the lane's prefix. Status 0: all held.
play() {
  local status=0
  export WINEPREFIX=$prefixes/$LANE
  cp "$1" "$WINEPREFIX/drive_c/windows/system32/drivers/assay.sys"
  timeout "${PLAY_SECONDS:-120}" "$wine" "$out/double/scenario.exe" "${@:2}" || status=$?
  "$server" -k || true
  return $status
}
