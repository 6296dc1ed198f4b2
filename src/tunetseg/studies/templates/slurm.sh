#!/bin/bash
# Runs one line of a file of command lines; which one, the array says. The same script runs the job that follows.
# A study keeps a copy of this file: edit that one for partition, account, GPUs, modules or a container.
# For another scheduler, change the lines that begin with "# tunet", the options, and the name of the array's variable.
#
# tunet submit: sbatch --parsable --array={array}{limit} --cpus-per-task={threads} --ntasks={processes} {script} {tasks}
# tunet then: sbatch --parsable --dependency=afterok:{job} --kill-on-invalid-dep=yes --cpus-per-task={threads} {script} {tasks}
# tunet limit: %{limit}
# tunet parallel: srun --ntasks={processes} --kill-on-bad-exit=1
#
#SBATCH --job-name=tunet
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%A_%a.log
#SBATCH --signal=B:USR1@120
##SBATCH --partition=gpu --gres=gpu:1 --mem=32G

line=$(sed -n "$((${SLURM_ARRAY_TASK_ID:-0} + 1))p" "$1")
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
again=
set -m  # so that the commands are a process group, which signals can be sent to
bash -c "trap : TERM; $line" &
child=$!
stop() { kill -TERM -- "-$child" 2> /dev/null; }
trap 'again=yes; stop' USR1  # the time limit is near: save, and go on in a new job
trap 'again=no; stop' TERM   # cancelled, or preempted, which the scheduler requeues by itself
wait $child; code=$?
while kill -0 $child 2> /dev/null; do wait $child; code=$?; done

echo "$(date --iso-8601=seconds) $(hostname) line ${SLURM_ARRAY_TASK_ID:-0}, start ${SLURM_RESTART_COUNT:-0}: ended with $code"
# Killed alone, such as for want of memory. The count ends what would go on forever.
[ $code -eq 137 ] && again=${again:-yes}
if [ "$again" = yes ] && [ $code -ne 0 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 100 ]; then
    scontrol requeue "$SLURM_JOB_ID" && sleep 60  # the scheduler ends this job
fi
exit $code
