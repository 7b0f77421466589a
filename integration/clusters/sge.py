"""A Grid Engine on this machine: a master and an execution daemon.

Its cell, spool folders and ports are its own, so that the one of the machine, if there is any, is left alone. Its
commands find it by ``SGE_ROOT`` and the ports. Needs root and Debian's ``gridengine-master gridengine-exec
gridengine-client``.
"""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from daemons import Daemons, need_commands, run, wait_until
from ports import free_port

COMMANDS = ("sge_qmaster", "sge_execd", "qsub", "qstat", "qconf", "qacct")
INSTALLED = Path("/var/lib/gridengine")
SLOTS = 4
FIRST_GROUP, GROUPS = 100_000, 100
PARALLEL = {"smp": "$pe_slots", "mpi": "$fill_up", "mpirr": "$round_robin"}
"""Parallel environments, and how each spreads its slots over hosts."""

LONE = "lone"
"""A parallel environment that no queue offers."""


class SgeCluster:
    """A running Grid Engine. Queues: ``all.q``, and ``short.q`` up to 5 min.

    Args:
        environment: Variables by which commands find it.
        daemons: What runs for it.
    """

    url = "sge://localhost/"

    def __init__(self, environment: Mapping[str, str], daemons: Daemons) -> None:
        self.environment = environment
        self._daemons = daemons

    def command(self, *words: str) -> str:
        """Run one of its commands and return what it prints."""
        done = run(words, self.environment)
        assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}\n{self.logs()}"
        return done.stdout

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Let commands not find the master for the length of a block; jobs run on.

        It is not stopped, since the execution daemon would need half a minute to come back to it.
        """
        where = Path(self.environment["SGE_ROOT"], "default", "common", "act_qmaster")
        known = where.read_text()
        where.write_text("nowhere.invalid\n")
        try:
            yield
        finally:
            where.write_text(known)

    def start_master(self) -> None:
        """Start the master, and wait until it answers. It is killed in the end: of itself it takes 9 s to stop."""
        self._daemons.start("qmaster", ["/usr/sbin/sge_qmaster"], end_with=signal.SIGKILL)
        wait_until(lambda: run(["qconf", "-sh"], self.environment).returncode == 0, "the master", self.logs)

    def logs(self) -> str:
        """Return the end of each log."""
        return self._daemons.logs()


@contextmanager
def running_sge() -> Iterator[SgeCluster]:
    """Run a Grid Engine for the length of a block; skip the test where it is not installed."""
    need_commands("Grid Engine", COMMANDS)
    root = Path(tempfile.mkdtemp(prefix="sge-", dir="/tmp"))
    root.chmod(0o755)  # other accounts use it as well
    environment = {
        "SGE_ROOT": str(root),
        "SGE_CELL": "default",
        "SGE_QMASTER_PORT": str(free_port()),
        "SGE_EXECD_PORT": str(free_port()),
    }
    daemons = Daemons(root, {**environment, "SGE_ND": "1"})  # in the foreground
    cluster = SgeCluster(environment, daemons)
    try:
        _start(cluster, root, daemons)
        yield cluster
        _end_jobs(cluster)
    finally:
        daemons.end_all()
        shutil.rmtree(root)


def _start(cluster: SgeCluster, root: Path, daemons: Daemons) -> None:
    _make_cell(root, cluster.environment)
    cluster.start_master()
    configure = _Configuration(cluster, root)
    configure.master()
    for name, rule in {**PARALLEL, LONE: "$pe_slots"}.items():
        configure.parallel(name, rule)
    daemons.start("execd", ["/usr/sbin/sge_execd"])
    configure.queue("all.q", "INFINITY")
    configure.queue("short.q", "0:5:0")
    wait_until(lambda: "lx-" in cluster.command("qhost"), "the execution daemon", cluster.logs)


def _make_cell(root: Path, environment: Mapping[str, str]) -> None:
    for name in ("bin", "lib", "util", "utilbin"):
        (root / name).symlink_to(INSTALLED / name)
    common = root / "default" / "common"
    spools = [root / "spool" / name for name in ("db", "qmaster/job_scripts", "execd")]
    for folder in (common, *spools):
        folder.mkdir(parents=True)
    (common / "bootstrap").write_text(_bootstrap(root))
    (common / "act_qmaster").write_text(socket.gethostname() + "\n")
    # The host's own name often stands for 127.0.0.1, whose name is localhost.
    (common / "host_aliases").write_text(f"{socket.gethostname()} localhost\n")
    program = "/usr/share/gridengine/scripts/init_cluster"
    done = run([program, str(root), "default", str(root / "spool" / "db"), "root"], environment)
    assert done.returncode == 0, f"{program}: {done.stdout} {done.stderr}"


def _bootstrap(root: Path) -> str:
    return f"""\
admin_user none
default_domain none
ignore_fqdn false
spooling_method berkeleydb
spooling_lib libspoolb
spooling_params {root}/spool/db
binary_path /usr/sbin
qmaster_spool_dir {root}/spool/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
"""


class _Configuration:
    """Tells the master what there is; it takes what is new from files only."""

    def __init__(self, cluster: SgeCluster, root: Path) -> None:
        self._cluster = cluster
        self._file = root / "configuration"
        self._host = socket.gethostname()

    def master(self) -> None:
        """Let root submit, schedule quickly, write the accounting at once; name the host.

        Shells of jobs are no login shells: root's start files on this machine are none of the tests' business, and a job
        that is killed while it reads them may leave them with a lock.
        """
        self._change("-sconf", "-Mconf", {"min_uid": "0", "min_gid": "0", "load_report_time": "00:00:01"})
        self._change(
            "-sconf",
            "-Mconf",
            {
                "gid_range": self._group_ids(),
                "login_shells": "none",
                "execd_spool_dir": f"{self._file.parent}/spool/execd",
                "reporting_params": "accounting=true reporting=false flush_time=00:00:01 "
                "accounting_flush_time=00:00:00 joblog=false sharelog=00:00:00",
            },
        )
        quick = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
        self._change("-ssconf", "-Msconf", quick)
        for option in ("-ah", "-as"):
            run(["qconf", option, self._host], self._cluster.environment)  # it may be one already
        host = dict.fromkeys(("load_scaling", "user_lists", "xuser_lists", "projects"), "NONE")
        host |= dict.fromkeys(("xprojects", "usage_scaling", "report_variables"), "NONE")
        self._add("-Ae", {"hostname": self._host, **host, "complex_values": f"slots={SLOTS}"})
        self._add("-Ahgrp", {"group_name": "@allhosts", "hostlist": self._host})

    def _group_ids(self) -> str:
        """Return groups that no other Grid Engine of this machine gives its jobs.

        A daemon takes all processes of a job's group for the job's: it would wait for those of others, and kill them.
        """
        first = FIRST_GROUP + GROUPS * int(self._cluster.environment["SGE_QMASTER_PORT"])
        return f"{first}-{first + GROUPS - 1}"

    def parallel(self, name: str, rule: str) -> None:
        """Add a parallel environment."""
        nothing = dict.fromkeys(("user_lists", "xuser_lists", "start_proc_args", "stop_proc_args"), "NONE")
        self._add(
            "-Ap",
            {
                "pe_name": name,
                "slots": "999",
                **nothing,
                "allocation_rule": rule,
                "control_slaves": "TRUE",
                "job_is_first_task": "FALSE",
                "urgency_slots": "min",
                "accounting_summary": "FALSE",
                "qsort_args": "NONE",
            },
        )

    def queue(self, name: str, limit: str) -> None:
        """Add a queue; ``posix_compliant``, since radical.saga's scripts have their ``#!`` on the second line."""
        self._change(
            "-sq",
            "-Aq",
            {
                "qname": name,
                "hostlist": "@allhosts",
                "slots": str(SLOTS),
                "pe_list": " ".join(PARALLEL),
                "load_thresholds": "NONE",
                "shell": "/bin/bash",
                "shell_start_mode": "posix_compliant",
                "tmpdir": str(
                    self._file.parent
                ),  # its jobs' folders are named by number, as those of others are
                "h_rt": limit,
                "notify": "00:00:05",
            },
        )

    def _change(self, show: str, take: str, changes: Mapping[str, str]) -> None:
        lines = self._cluster.command("qconf", show).replace("\\\n", " ").splitlines()
        now = dict(line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))
        self._add(take, {**now, **changes})

    def _add(self, option: str, settings: Mapping[str, str]) -> None:
        file = self._file if option != "-Mconf" else self._file.with_name("global")
        file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self._cluster.command("qconf", option, str(file))


def _end_jobs(cluster: SgeCluster) -> None:
    run(["qdel", "-f", "-u", "root"], cluster.environment)
    wait_until(lambda: not cluster.command("qstat"), "the end of all jobs", cluster.logs)
    run(["qconf", "-kej", "all"], cluster.environment)
