#!/bin/sh
# Ends what the stack started when the stack itself is gone. A shell script because a second Node would cost 45 MB.
#
#   guardian.sh run first|last COMMAND…   registers its own process on file descriptor 3, then becomes COMMAND
#   guardian.sh watch                     reads registrations on stdin until the stack ends
#
# Lines on the pipe:  add first|last PID START    a process group to end ("last": after all others, with SIGINT)
#                     remove FOLDER               a temporary folder to delete afterwards
#                     done                        the stack has ended everything itself
#
# A child registers itself before it becomes its command, and holds the pipe until then. So the pipe ends only after
# everything that was started is known here, and a kill -9 of the stack at any moment leaves nothing.

# When a process started: with its id this names one process, whatever became of the id since. Fails when it is gone.
start_of() {
  if [ -d /proc/self ]; then
    stat=
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    set -- ${stat##*) }
    [ "$1" != Z ] || return 1
    shift 19
    echo "$1"
  else
    ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' _ | grep .
  fi
}

if [ "$1" = run ]; then
  order=$2
  shift 2
  (echo "add $order $$ $(start_of $$)" >&3) # a subshell: a guardian that is gone must not end COMMAND too
  exec "$@" 3>&-
fi

trap '' INT HUP TERM

first= last= folder=
while read -r verb order pid start; do
  case $verb in
    add) [ "$order" = last ] && last="$last $pid:$start" || first="$first $pid:$start" ;;
    remove) folder="$order${pid:+ $pid}${start:+ $start}" ;;
    done) exit 0 ;;
  esac
done

# True while the process PID:START, or a process of the group it led, is there.
alive() {
  kill -0 "-${1%%:*}" 2>/dev/null || return 1
  if now=$(start_of "${1%%:*}"); then
    [ "$now" = "${1#*:}" ]
  else
    has_members "${1%%:*}"
  fi
}

# True when the group has a member that is more than an unreaped remainder (a container's first process may not reap).
has_members() {
  [ -d /proc/self ] || return 0
  group=$1
  for file in /proc/[0-9]*/stat; do
    { read -r stat <"$file"; } 2>/dev/null || continue
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "$3" = "$group" ] && return 0
  done
  return 1
}

leads() {
  now=$(start_of "${1%%:*}") && [ "$now" = "${1#*:}" ]
}

# Sends SIGNAL to the leaders of a list; KILL goes to their whole groups.
signal() {
  sig=$1
  shift
  for entry; do
    if [ "$sig" = KILL ]; then alive "$entry" && kill -KILL "-${entry%%:*}"
    else leads "$entry" && kill "-$sig" "${entry%%:*}"; fi
  done 2>/dev/null
}

# Waits until a list is gone, at most the given tenths of a second.
gone() {
  tenths=$1
  shift
  while :; do
    left=
    for entry; do alive "$entry" && left=1; done
    [ -n "$left" ] || return 0
    [ "$tenths" -gt 0 ] || return 1
    tenths=$((tenths - 1))
    sleep 0.1
  done
}

# The children of PID as PID:START. Those that lead groups of their own (the controller's agents) would outlive it.
children_of() {
  if [ -d /proc/self ]; then
    parent=$1
    for file in /proc/[0-9]*/stat; do
      { read -r stat <"$file"; } 2>/dev/null || continue
      set -- ${stat##*) }
      [ "$2" = "$parent" ] && shift 19 && echo "${stat%% *}:$1"
    done
  else
    ps -axo pid=,ppid= | while read -r pid parent; do
      [ "$parent" = "$1" ] && echo "$pid:$(start_of "$pid")"
    done
  fi
}

for entry in $first; do
  first="$first $(children_of "${entry%%:*}")"
done

signal TERM $first
gone 25 $first || signal KILL $first
signal INT $last
gone 20 $last || { signal QUIT $last; gone 10 $last || signal KILL $last; }

case $folder in
  */local-supabase-*) rm -rf -- "$folder" ;;
esac
