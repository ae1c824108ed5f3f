#!/bin/sh
# PID 1 of a node: makes the node's own view of the machine out of mounts that nobody else sees, then keeps the node's daemons
# running. Arguments come from the environment: NODE, ADDRS, and the directories STATE, BIN, TOOLS, CNI.
set -eu
disk=$STATE/$NODE
echo "$NODE" > /proc/sys/kernel/hostname
# mount -n throughout: without it, mount(8) takes notes in the machine's /run.
mount -n -t proc proc /proc

# Whatever the node needs of this machine is under /run/lab. The binds come first: what follows covers places where the
# directories may lie.
mkdir -p "$disk/run" "$disk/cgroup"
mount -n -t tmpfs tmpfs "$disk/run"
mkdir -p "$disk/run/netns" "$disk/run/lock" "$disk/run/containerd"
for d in state bin tools cni; do mkdir -p "$disk/run/lab/$d"; done
mount -n --bind "$STATE" "$disk/run/lab/state"
mount -n --bind "$BIN" "$disk/run/lab/bin"
mount -n --bind "$TOOLS" "$disk/run/lab/tools"
mount -n --bind "$CNI" "$disk/run/lab/cni"

# A /sys that shows this network namespace, with the cgroups kept.
mount -n --rbind /sys/fs/cgroup "$disk/cgroup"
mount -n -t sysfs sysfs /sys
mount -n --rbind "$disk/cgroup" /sys/fs/cgroup
umount -n -l "$disk/cgroup"

mount -n --move "$disk/run" /run
disk=/run/lab/state/$NODE
mount -n -t tmpfs tmpfs /var/lib
mount -n -t tmpfs tmpfs /var/log
mkdir -p /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers
mkdir -p "$disk/kubelet" "$disk/pods" "$disk/imported"
mount -n --bind "$disk/kubelet" /var/lib/kubelet
mount -n --bind "$disk/pods" /var/log/pods

# A machine that was switched off and on has another boot id; the kubelet reports it.
mount -n --bind "$disk/etc/boot_id" /proc/sys/kernel/random/boot_id
# The kubelet sets these for the whole machine. It finds its values there already, in files that are the node's own.
for kv in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1; do
	file=$disk/etc/$(echo "${kv%=*}" | tr / _)
	echo "${kv#*=}" > "$file"
	mount -n --bind "$file" "/proc/sys/${kv%=*}"
done
# Only now, or the umount above would have taken the cgroups with it. The kubelet and containerd need it.
mount -n --make-rshared /

log=/run/lab/state/log/$NODE
# keep NAME COMMAND…: as a service manager would, start it again when it ends.
keep() {
	name=$1
	shift
	while :; do "$@" >> "$log-$name.log" 2>&1 || :; sleep 1; done &
}

# Shutdown: everybody is told, then the machine goes off, whoever is left. Shims end with their containers or not at all.
busy() {
	for comm in /proc/[0-9]*/comm; do
		[ "$comm" = /proc/1/comm ] && continue
		read -r name 2> /dev/null < "$comm" || continue
		case $name in containerd-shim | sleep) ;; *) return 0 ;; esac
	done
	return 1
}
off() {
	trap '' TERM
	kill -TERM -1 || :
	tries=0
	while busy && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
	exit 0
}
trap off TERM

keep containerd containerd -c "$disk/etc/containerd.toml"
until ctr version > /dev/null 2>&1; do sleep 0.1; done
sh "$disk/etc/import.sh"
until [ -e /run/lab/state/api-ready ]; do sleep 0.1; done
keep kubelet kubelet --config="$disk/etc/kubelet.yaml" --kubeconfig="/run/lab/state/pki/$NODE.kubeconfig" \
	--hostname-override="$NODE" --node-ip="$ADDRS" --root-dir=/var/lib/kubelet --v=2
keep proxy kube-proxy --config="$disk/etc/proxy.yaml" --v=2
# wait reaps what the containers leave behind, too; a signal ends it early.
while :; do wait || :; done
