"""What jobs of batch systems find, as it was recorded there or as their manuals show it, without what does not matter."""

from __future__ import annotations


def environment(text: str) -> dict[str, str]:
    """Return the variables of lines as ``env`` prints them."""
    return dict(line.split("=", 1) for line in text.strip().splitlines())


SLURM = environment("""
SLURM_JOB_ID=7
SLURM_JOBID=7
SLURM_JOB_NODELIST=node[1-2]
SLURM_NODELIST=node[1-2]
SLURM_JOB_NUM_NODES=2
SLURM_JOB_CPUS_PER_NODE=4(x2)
SLURM_TASKS_PER_NODE=2(x2)
SLURM_CPUS_ON_NODE=4
SLURMD_NODENAME=node1
SLURM_SUBMIT_HOST=login1
SLURM_JOB_PARTITION=debug
SLURM_JOB_GPUS=0,1
SLURM_GPUS_ON_NODE=2
SLURM_GPUS_PER_NODE=2
CUDA_VISIBLE_DEVICES=0,1
ROCR_VISIBLE_DEVICES=0,1
GPU_DEVICE_ORDINAL=0,1
SLURM_MEM_PER_CPU=500
""")
SLURM_LEFT = "      4:30\n"

PBS_PRO = environment("""
PBS_JOBID=1001.head
PBS_NODEFILE=/var/spool/pbs/aux/1001.head
PBS_O_HOST=head
PBS_O_WORKDIR=/home/rptest/cap
PBS_ENVIRONMENT=PBS_BATCH
NCPUS=2
OMP_NUM_THREADS=2
""")
PBS_PRO_NODES = "node1\nnode1\nnode2\nnode2\n"
PBS_PRO_STATUS = """\
Job Id: 1001.head
    Job_Name = samplejob
    Job_Owner = rptest@head
    job_state = R
    ctime = Sun Nov 22 16:44:36 2026
    exec_host = node1/0*2+node2/0*2
    exec_vnode = (node1:ncpus=2:mem=2097152kb:ngpus=1)+(node2:ncpus=2:mem=20971
\t52kb:ngpus=1)
    Resource_List.mem = 4gb
    Resource_List.ncpus = 4
    Resource_List.nodect = 2
    Resource_List.walltime = 00:10:00
    stime = Sun Nov 22 16:44:36 2026
    Variable_List = PBS_O_HOME=/home/rptest,PBS_O_LOGNAME=rptest,
\tPBS_O_PATH=/opt/pbs/bin:/usr/bin:/bin,PBS_O_HOST=head
    run_count = 2
    Submit_Host = head

"""

TORQUE = environment("""
PBS_JOBID=31.torque.example.org
PBS_NODEFILE=/var/spool/torque/aux/31.torque.example.org
PBS_GPUFILE=/var/spool/torque/aux/31.torque.example.orggpu
PBS_NUM_NODES=2
PBS_NUM_PPN=2
PBS_NP=4
PBS_O_HOST=login.example.org
PBS_WALLTIME=600
""")
TORQUE_NODES = "n07\nn07\nn08\nn08\n"
TORQUE_GPUS = "n07-gpu1\nn08-gpu0\n"
TORQUE_STATUS = """\
Job Id: 31.torque.example.org
    job_state = R
    exec_host = n07/0-1+n08/4,6
    Resource_List.walltime = 00:10:00
    start_time = Sun Nov 22 16:44:36 2026
    Walltime.Remaining = 540
    start_count = 1

"""

SGE = environment("""
JOB_ID=3
SGE_TASK_ID=undefined
SGE_O_HOST=head
SGE_ROOT=/var/lib/gridengine
SGE_CELL=default
HOSTNAME=node1
NSLOTS=5
NHOSTS=2
PE=mpi
PE_HOSTFILE=/var/spool/gridengine/execd/node1/active_jobs/3.1/pe_hostfile
QUEUE=all.q
RESTARTED=1
SGE_HGR_gpu=0 2
""")
SGE_HOSTS = """\
node1 2 all.q@node1 UNDEFINED
node2 2 all.q@node2 UNDEFINED
node1 1 short.q@node1 UNDEFINED
"""
SGE_STATUS = """\
==============================================================
job_number:                 3
owner:                      rptest
hard resource_list:         h_rt=300,h_vmem=1G
script_file:                gj.sh
parallel environment:  MPI range: 5
"""

LSF = environment("""
LSB_JOBID=901545
LSB_JOBINDEX=0
LSB_MCPU_HOSTS=hostA 4 hostB 2
LSB_HOSTS=hostA hostA hostA hostA hostB hostB
LSB_DJOB_HOSTFILE=/home/me/.lsbatch/1700000000.901545.hostfile
LSB_DJOB_NUMPROC=6
LSB_SUB_HOST=login2
LSB_RESTART=Y
CUDA_VISIBLE_DEVICES=3
""")
LSF_LEFT = "1:30 L\n"

CONDOR = environment("""
_CONDOR_JOB_AD=/var/lib/condor/execute/dir_4711/.job.ad
_CONDOR_MACHINE_AD=/var/lib/condor/execute/dir_4711/.machine.ad
_CONDOR_SCRATCH_DIR=/var/lib/condor/execute/dir_4711
_CONDOR_SLOT=slot1_1
""")
CONDOR_MACHINE = """\
AssignedGPUs = "CUDA0,GPU-c4a646d7"
Cpus = 4
Machine = "exec7.example.org"
Memory = 4096
Name = "slot1_1@exec7.example.org"
"""
CONDOR_JOB = """\
AllowedJobDuration = 3600
ClusterId = 12
GlobalJobId = "submit.example.org#12.0#1700000000"
NumJobStarts = 1
ProcId = 0
"""

LOADL = environment("""
LOADL_STEP_ID=loadl01.example.org.123.0
LOADL_JOB_NAME=pilot
LOADL_HOSTFILE=/var/loadl/execute/loadl01.123.0.hostfile
LOADL_PROCESSOR_LIST=i01r01 i01r01 i01r02
""")
LOADL_STATUS = """\
=============== Job Step loadl01.example.org.123.0 ===============
        Job Step Id: loadl01.example.org.123.0
             Status: Running
      Dispatch Time: Tue 25 Mar 2014 01:47:00 PM CET
Wall Clk Hard Limit: 00:30:00 (1800 seconds)
Wall Clk Soft Limit: 00:30:00 (1800 seconds)
"""

COBALT = environment("""
COBALT_JOBID=104711
COBALT_PARTNAME=0-2,7
COBALT_PARTSIZE=4
COBALT_JOBSIZE=4
COBALT_STARTTIME=1485139445
COBALT_ENDTIME=1485143045
""")
COBALT_STATUS = """\
JobID: 104711
    State             : running
    WallTime          : 01:00:00
    TimeRemaining     : 00:20:00
    Nodes             : 4
"""
