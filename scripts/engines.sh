#!/usr/bin/env bash
# Engines for the tests of docs/cluster.md, without installing or starting a service:
#
#   scripts/engines.sh DIR                                  unpack Slurm, GNU parallel, HyperQueue, kubernetes-validate
#   IJEPA_ENGINES=DIR cargo test --test launcher -- --ignored
#   scripts/engines.sh DIR up | down                        start or end Slurm by hand
#
# Slurm and GNU parallel come as Debian packages and are only unpacked; the others from PyPI. Slurm needs root, to start
# tasks; it runs in DIR alone, on ports of its own. Without a Debian system there is no Slurm, and its tests say so.
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
p=$dir/root
lib=$p/usr/lib/$(uname -m)-linux-gnu
export SLURM_CONF=$dir/state/slurm.conf

unpack() {
  mkdir -p "$dir/deb" "$p"
  (cd "$dir/deb" && apt-get download slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge libmunge2 \
    libhwloc15 parallel)
  for package in "$dir"/deb/*.deb; do dpkg -x "$package" "$p"; done
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" install --quiet hyperqueue kubernetes-validate
  # What tests put on their path: commands that find their own libraries and configuration.
  mkdir -p "$dir/bin"
  for name in sbatch squeue scontrol scancel sinfo; do
    printf '#!/bin/sh\nSLURM_CONF=%s LD_LIBRARY_PATH=%s:%s exec %s/usr/bin/%s "$@"\n' \
      "$SLURM_CONF" "$lib" "$lib/slurm-wlm" "$p" "$name" > "$dir/bin/$name"
  done
  ln -sf "$p/usr/bin/parallel" "$dir/bin/parallel"
  ln -sf "$dir/venv/bin/kubernetes-validate" "$dir/bin/kubernetes-validate"
  chmod +x "$dir"/bin/*
}

up() {
  local host s=$dir/state
  host=$(hostname -s)
  mkdir -p "$s"/{ctld,slurmd,log,run}
  mkdir -p "$s/munge" && chmod 0755 "$s/munge" && chmod a+x "$dir" "$s"
  [ -f "$s/key/munge.key" ] || { mkdir -m 0700 -p "$s/key"; head -c 1024 /dev/urandom > "$s/key/munge.key"; }
  chmod 0400 "$s/key/munge.key"
  export LD_LIBRARY_PATH=$lib:$lib/slurm-wlm
  "$p/usr/sbin/munged" --force --key-file="$s/key/munge.key" --socket="$s/munge/socket" \
    --pid-file="$s/run/munged.pid" --log-file="$s/log/munged.log" --seed-file="$s/key/seed"
  cat > "$SLURM_CONF" <<CONF
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$s/munge/socket,cred_expire=6
CredType=cred/munge
PluginDir=$lib/slurm-wlm
StateSaveLocation=$s/ctld
SlurmdSpoolDir=$s/slurmd
SlurmctldPidFile=$s/run/slurmctld.pid
SlurmdPidFile=$s/run/slurmd.pid
SlurmctldLogFile=$s/log/slurmctld.log
SlurmdLogFile=$s/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1
MpiDefault=none
ReturnToService=2
MailProg=/bin/true
MinJobAge=3600
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=1000 State=UNKNOWN
PartitionName=low Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime=3 Default=YES MaxTime=INFINITE State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
CONF
  "$p/usr/sbin/slurmctld-wlm" -c
  "$p/usr/sbin/slurmd-wlm" -f "$SLURM_CONF" -d "$p/usr/sbin/slurmstepd-wlm"
  for _ in $(seq 100); do
    if "$dir/bin/sinfo" -h -o %T 2>/dev/null | grep -q idle; then echo "Slurm is up"; return; fi
    sleep 0.1
  done
  tail "$s"/log/*.log >&2
  return 1
}

down() {
  for name in slurmd slurmctld munged; do
    local file=$dir/state/run/$name.pid
    if [ -f "$file" ]; then kill "$(cat "$file")" 2>/dev/null || true; fi
  done
}

case ${2:-unpack} in
  unpack | up | down) "${2:-unpack}" ;;
  *) echo "usage: scripts/engines.sh DIR [up|down]" >&2; exit 2 ;;
esac
