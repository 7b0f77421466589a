#!/bin/sh
# First process of an emulated host, see netns_host.py: netns-init.sh NAME STATE HOME...
#
# Runs in namespaces of its own. The host gets a name, processes, /tmp, /run and /dev/shm of its own; homes, Slurm's
# configuration and the names of hosts come from the cluster's STATE folder. Everything else is this machine's; so are the
folders in STATE/seen, also below the homes and /tmp.
# Says `up` and stays until its standard input ends; then the kernel ends all processes of the host.
set -e
name=$1 state=$2
shift 2

mount --make-rprivate /
hostname "$name"
mount -t proc proc /proc
number=0
while read -r folder; do
    number=$((number + 1))
    mkdir -p "$state/seen-$name-$number"
    mount --bind "$folder" "$state/seen-$name-$number"
done <"$state/seen"
for folder in /tmp /dev/shm; do mount -t tmpfs -o mode=1777 tmpfs "$folder"; done
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/sshd
for file in hosts resolv.conf; do mount --bind "$state/$file" "/etc/$file"; done
mount --bind "$state/slurm" /etc/slurm
for home; do mount --bind "$state/homes$home" "$home"; done
number=0
while read -r folder; do
    number=$((number + 1))
    mkdir -p "$folder"
    mount --move "$state/seen-$name-$number" "$folder"
done <"$state/seen"
ip link set lo up

echo up
# Ignored, the signal lets the kernel reap what is orphaned to this process.
exec env --ignore-signal=CHLD cat >/dev/null
