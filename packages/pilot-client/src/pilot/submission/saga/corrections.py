"""What is put right in radical.saga's adaptors for LoadLeveler, Cobalt and Grid Engine, in the helper's worker process.

The first two say wrong things of jobs, or wait for minutes before they say anything. For each bug there is a test that shows it in
radical.saga as it is, so that its end does not go unnoticed.

The invariant: whatever is asked of a job is asked of the batch system then; a job that the batch system does not show any
more has ended, with the exit code that was noted for it or without one.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

_FINAL = ("Done", "Failed", "Canceled")
_RUNNING, _FAILED = "Running", "Failed"
_ONE_TRY = 1
_NO_NOTES = "exceed"
"""How the adaptor for LoadLeveler says that a job has left no notes of its end."""
_NO_FOLDER = "/nonexistent"
_WRITTEN = re.compile(r'\ASCRIPTFILE="([^"]+)"')
_UNHEARD = {"state": None, "exec_hosts": None, "returncode": None, "create_time": None, "start_time": None,
            "end_time": None, "gone": False}  # fmt: skip


def correct(scheme: str) -> None:
    """Put right what is wrong with the adaptor of a scheme, before it is used.

    Args:
        scheme: Of radical.saga's URL, such as ``loadl+ssh``.
    """
    name = scheme.partition("+")[0]
    correction = _CORRECTIONS.get(name)
    if correction is not None:
        correction(importlib.import_module(f"radical.saga.adaptors.{name}.{name}job"))


def _correct_loadl(adaptor: Any) -> None:
    # Every job description has this attribute, and the adaptor refuses what is not in its list.
    adaptor._ADAPTOR_CAPABILITIES["jdes_attributes"].append("SystemArchitecture")  # noqa: SLF001 - it is no option
    service = adaptor.LOADLJobService
    service._retrieve_job = _loadl_facts(service._retrieve_job)  # noqa: SLF001 - there is no other way in


def _loadl_facts(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the question for a job. The adaptor looks for notes again and again, in the end for 17 minutes.

    A job that was removed while it waited has left none, and one that was killed is "Running" in them for ever.
    """

    def retrieve(service: Any, job_id: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = original(service, job_id, max_retries=_ONE_TRY)
        except Exception as error:
            if _NO_NOTES in str(error):
                return {**_UNHEARD, "state": _FAILED}
            raise
        is_noted = found["create_time"] is not None  # else it is llq that speaks
        if is_noted and found["state"] == _RUNNING:
            found["state"] = _FAILED
        if found["returncode"] == -1:  # means that there is none
            found["returncode"] = None
        return found

    return retrieve


def _correct_cobalt(adaptor: Any) -> None:
    service = adaptor.CobaltJobService
    ask = service._job_get_info = _cobalt_facts(service._job_get_info)  # noqa: SLF001 - there is no other way in
    service._job_run = _cobalt_submission(service._job_run)  # noqa: SLF001
    service._job_cancel = _cobalt_removal(service._job_cancel)  # noqa: SLF001
    # The adaptor answers with what a thread has found out within the last minute.
    service._job_get_state = lambda service, job_id: ask(service, job_id, reconnect=False)["state"]  # noqa: SLF001


def _cobalt_facts(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the question for a job: one that Cobalt does not show and that has no log keeps its last state there for ever.

    Jobs of another process are asked for like our own: the adaptor looks for the logs of its own jobs only.
    """

    def get_info(service: Any, job_id: str, reconnect: bool) -> dict[str, Any]:  # noqa: ARG001, FBT001 - the adaptor's
        before = service.jobs.get(job_id)
        if before is not None and before["state"] in _FINAL:
            return dict(before)
        service._adaptor._job_current_workdir.setdefault(job_id, _NO_FOLDER)  # noqa: SLF001
        asked = service.jobs[job_id] = {**(before or _UNHEARD), "state": None}
        try:
            original(service, job_id, reconnect=False)
        except BaseException:
            _put_back(service.jobs, job_id, before)
            raise
        asked["state"] = asked["state"] or _FAILED
        if asked["state"] in _FINAL:
            _remove_script(service, job_id)
        if before is None:
            del service.jobs[job_id]  # who asks first makes the entry
        return asked

    return get_info


def _cobalt_submission(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the submission: the script of a job that Cobalt does not take would stay."""

    def run(service: Any, job: Any) -> Any:
        shell, run_sync, written = service.shell, service.shell.run_sync, []

        def noting(command: str, *more: Any, **named: Any) -> Any:
            written.extend(_WRITTEN.findall(command))
            return run_sync(command, *more, **named)

        shell.run_sync = noting
        try:
            return original(service, job)
        except BaseException:
            for name in written:
                run_sync(f"rm -f {name}")
            raise
        finally:
            shell.run_sync = run_sync

    return run


def _remove_script(service: Any, job_id: str) -> None:
    """Remove a script that Cobalt needs no more: a running job has read it."""
    name = service._adaptor._script_file.pop(job_id, None)  # noqa: SLF001
    if name is not None:
        service.shell.run_sync(f"rm -f {name}")


def _put_back(jobs: dict[str, Any], job_id: str, before: dict[str, Any] | None) -> None:
    if before is None:
        del jobs[job_id]
    else:
        jobs[job_id] = before


def _cobalt_removal(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the removal of a job, which is called Canceled from then on, though it runs until its processes have ended."""

    def cancel(service: Any, job_id: str) -> None:
        before = dict(service.jobs[job_id])
        original(service, job_id)
        service.jobs[job_id] = before
        _remove_script(service, job_id)

    return cancel


def _correct_sge(adaptor: Any) -> None:
    """Spare five commands of a connection, a third of them: the help texts, of which the adaptor logs the first line."""
    service = adaptor.SGEJobService
    initialize = service.initialize

    def without_help(service: Any) -> None:
        shell, run_sync = service.shell, service.shell.run_sync

        def run(command: str, *more: Any, **named: Any) -> Any:
            return (0, "", None) if command.endswith(" -help") else run_sync(command, *more, **named)

        shell.run_sync = run
        try:
            initialize(service)
        finally:
            shell.run_sync = run_sync

    service.initialize = without_help


_CORRECTIONS: dict[str, Callable[[Any], None]] = {
    "loadl": _correct_loadl,
    "cobalt": _correct_cobalt,
    "sge": _correct_sge,
}
