# Keeps what a node is made of: namespaces for network, mounts and processes, a cgroup, and a link from this machine into
# the network namespace. It goes when standard input ends. All names are fixed, so that a start finds what one that was
# killed has left; a lock lets one node at a time be.
#
# Arguments: the folder of the node, the folder of its programs, the script that runs inside. Standard error: open as long as
# the folder is used. Standard output: the process id of the first process inside, once everything is there.
set -eu
folder=$1
programs=$2
inside=$3
exec 8>&2 2>>"$folder/keeper.log"

name=login-pipeline-node
link=lp-node

hierarchies=
while read -r _ path type _; do
  case $type in cgroup | cgroup2) hierarchies="$hierarchies $path" ;; esac
done </proc/mounts

# Kills every process in the cgroup, and removes it. The end of the first process of a namespace ends all others in it.
remove_cgroup() {
  [ -d "$1" ] || return 0
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    find "$1" -name cgroup.procs -exec cat {} + | while read -r process; do kill -s KILL "$process" || true; done
    find "$1" -depth -type d -exec rmdir {} + && return
    sleep 0.3
  done
}

clean() {
  for hierarchy in $hierarchies; do remove_cgroup "$hierarchy/$name" 2>/dev/null; done
  ip link delete "$link" 2>/dev/null || true
}

exec 9>/run/login-pipeline-node.lock
flock 9
clean
trap clean EXIT
trap 'exit 1' HUP INT TERM

for hierarchy in $hierarchies; do mkdir -p "$hierarchy/$name/services"; done
(
  # The one of cpuset takes no process before it has processors, and none needs it.
  for hierarchy in $hierarchies; do echo 0 >"$hierarchy/$name/services/cgroup.procs" || true; done
  exec unshare --net --mount --pid --fork --kill-child sh -euc "$inside" inside "$folder" "$programs" \
    </dev/null >>"$folder/inside.log" 2>&1 8>&- 9>&-
) &
namespaces=$!
until [ -e "$folder/inside" ]; do
  kill -s 0 "$namespaces" || { cat "$folder/inside.log" >&2 && exit 1; }
  sleep 0.05
done
read -r first <"$folder/inside"

ip link add "$link" type veth peer name eth0 netns "$first"
ip address add 10.244.255.1/30 dev "$link"
ip link set "$link" up
within() { nsenter --target "$first" --net "$@"; }
within ip address add 10.244.255.2/30 dev eth0
within ip link set eth0 up
within ip route add default via 10.244.255.1
ip route add 10.244.0.0/24 via 10.244.255.2

echo "$first"
cat >/dev/null
