# The first process of a node's namespaces: prepares them, and then waits for processes that lost their parents.
#
# Arguments: the folder of the node, the folder of its programs. Writes its process id, as it is outside, into the file
# `inside` of the folder.
folder=$1
programs=$2
read -r process _ </proc/self/stat # of the machine still
mount -t proc proc /proc

# Below what is hidden next, they would be gone.
mkdir "$folder/bin"
mount --bind "$programs" "$folder/bin"

# Everything that kubelet, containerd and CNI plugins write by default; nothing of it reaches the machine.
for hidden in /run /var/lib /var/log; do mount -t tmpfs tmpfs "$hidden"; done

# kubelet sets these, which belong to the whole machine: it gets files of its own to write.
mkdir "$folder/settings"
for setting in kernel/panic kernel/panic_on_oops kernel/keys/root_maxbytes kernel/keys/root_maxkeys \
  vm/overcommit_memory vm/panic_on_oom; do
  file=$folder/settings/${setting##*/}
  cat "/proc/sys/$setting" >"$file"
  mount --bind "$file" "/proc/sys/$setting"
done

ip link set lo up
ip link add cni0 type bridge
ip address add 10.244.0.1/24 dev cni0
ip link set cni0 up
echo 1 >/proc/sys/net/ipv4/ip_forward

echo "$process" >"$folder/inside.new"
mv "$folder/inside.new" "$folder/inside"
while :; do
  sleep 3600 &
  wait
done
