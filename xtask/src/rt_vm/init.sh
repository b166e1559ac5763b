#!/bin/busybox sh
# The first process of the machine of `cargo xtask rt-vm`: sets it up, runs doctor and demo, tells, ends.
export PATH=/bin HOME=/tmp TMPDIR=/tmp
tell() { echo "takt-rt-vm: $*"; }

busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t tmpfs tmpfs /tmp
busybox mount -t tmpfs tmpfs /run
busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
busybox mount -t bpf bpf /sys/fs/bpf
busybox ip link set lo up
tell kernel "$(busybox uname -rv)"

# Cores 1 and 2 as a partition of their own: control has them, everything else has core 0.
cd /sys/fs/cgroup
echo "+cpuset +cpu +memory" > cgroup.subtree_control
busybox mkdir control
echo 1-2 > control/cpuset.cpus
echo 0 > control/cpuset.mems
echo isolated > control/cpuset.cpus.partition
echo 512M > control/memory.max
echo $$ > control/cgroup.procs
tell partition "$(busybox cat control/cpuset.cpus.partition)"

cd /tmp
takt doctor --json > doctor.json
tell doctor "$(busybox tr -d '\n' < doctor.json)"

# Into a file: on a terminal it would draw.
takt demo --alone --turbines 2 --agvs 0 --seconds 20 --json demo.json > demo.log 2>&1
tell demo-exit $?
busybox cat demo.log
tell demo "$(busybox tr -d '\n' < demo.json)"
busybox poweroff -f
