"""A real executor: standard streams, working folders, and what cannot be started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from executor_driver import CORES, Head, Signpost


def test_output_without_a_file_comes_back_with_the_end(head: Head) -> None:
    end = head.shell("cu-1", "echo out; echo err >&2")
    assert (end["out"], end["err"]) == ("out\n", "err\n")
    assert (end["out_file"], end["err_file"], end["cwd"]) == ("", "", "")
    assert not (head.sandbox / "cu-1").exists()


def test_silent_unit_leaves_nothing(head: Head) -> None:
    end = head.run("cu-1", ["/bin/true"])
    assert (end["out"], end["err"], end["cwd"]) == ("", "", "")


def test_next_unit_in_a_lane_does_not_see_the_output_before_it(head: Head) -> None:
    orders = [
        head.order(f"cu-{n}", ["/bin/sh", "-c", f"echo {n}; ls; head -n 1 /dev/stdout"], cores=None)
        for n in range(9)
    ]
    orders[0]["cores"] = CORES[:1]
    head.start(*orders)
    head.end("cu-8")
    # What head reads is what the lane's file holds: the line of this unit alone.
    assert [head.ends[f"cu-{n}"]["out"] for n in range(9)] == [f"{n}\n{n}\n" for n in range(9)]


def test_large_output_moves_to_a_file_of_the_unit(head: Head) -> None:
    end = head.shell("cu-1", "head -c 5000000 /dev/zero; echo done >&2")
    assert (end["out"], end["err"]) == (None, "done\n")
    assert end["out_file"] == str(head.sandbox / "cu-1" / "stdout")
    assert os.path.getsize(end["out_file"]) == 5_000_000
    assert head.shell("cu-2", "echo next")["out"] == "next\n"


def test_large_error_output_moves_too_and_its_tail_comes_back(head: Head) -> None:
    end = head.shell("cu-1", "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done >&2; exit 1")
    assert end["err_file"] == str(head.sandbox / "cu-1" / "stderr")
    assert len(end["err"]) == 4096
    assert end["err"].endswith("line 999\n")


def test_output_of_exactly_the_limit_comes_back_inline(head: Head) -> None:
    end = head.shell("cu-1", "head -c 4096 /dev/zero | tr '\\0' x")
    assert end["out"] == "x" * 4096


def test_output_that_is_not_utf_8_comes_back_byte_for_byte(head: Head) -> None:
    end = head.shell("cu-1", r"printf 'a\377\300\200\303\244'")
    assert end["out"].encode("utf-8", "surrogateescape") == b"a\xff\xc0\x80\xc3\xa4"


def test_arguments_that_are_not_ascii_arrive_as_given(head: Head) -> None:
    assert head.run("cu-1", ["/bin/echo", "ä 中 \udcff"])["out"] == "ä 中 \udcff\n"


def test_folder_of_a_unit_that_wrote_a_file_becomes_its_own(head: Head) -> None:
    end = head.shell("cu-1", "echo data > result; mkdir deep; echo x > deep/file")
    assert end["cwd"] == str(head.sandbox / "cu-1")
    assert (head.sandbox / "cu-1" / "result").read_text() == "data\n"
    assert (head.sandbox / "cu-1" / "deep" / "file").exists()
    assert head.shell("cu-2", "ls -A; pwd")["out"].startswith(str(head.sandbox / "lanes"))


def test_second_attempt_keeps_what_the_first_left(head: Head) -> None:
    first = head.shell("cu-1", "echo 1 > result")
    del head.ends["cu-1"]
    second = head.shell("cu-1", "echo 2 > result", attempt=2)
    assert first["cwd"] != second["cwd"]
    assert [Path(end["cwd"], "result").read_text() for end in (first, second)] == ["1\n", "2\n"]


def test_folder_that_was_used_and_emptied_is_not_kept(head: Head) -> None:
    end = head.shell("cu-1", "echo > file; rm file; chmod 0500 .")
    assert end["cwd"] == ""
    assert head.shell("cu-2", "stat -c %a .")["out"] == "700\n"


def test_folder_that_a_unit_removed_is_made_again(head: Head) -> None:
    head.shell("cu-1", 'rmdir "$(pwd)"')
    assert head.shell("cu-2", "stat -c %a .")["out"] == "700\n"


def test_named_files_lie_in_the_units_own_folder(head: Head) -> None:
    end = head.shell("cu-1", "echo out; echo err >&2; echo x > more", stdout="out.txt", stderr="logs/err.txt")
    folder = head.sandbox / "cu-1"
    assert end["cwd"] == str(folder)
    assert (end["out"], end["out_file"], end["err_file"]) == (
        None,
        str(folder / "out.txt"),
        str(folder / "logs" / "err.txt"),
    )
    assert (folder / "out.txt").read_text() == "out\n"
    assert (folder / "logs" / "err.txt").read_text() == "err\n"
    assert (folder / "more").exists()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "out.txt").stat().st_mode & 0o777 == 0o600


def test_a_unit_with_data_runs_where_its_data_is_and_its_end_says_what_to_deliver(head: Head) -> None:
    folder = head.sandbox / "there $HOME"
    deliver = {"folder": str(folder), "data": {"du-1": ["*"]}, "transfers": [], "keeps_failed": False}
    end = head.shell("cu-1", "pwd; echo x > file", cwd="elsewhere", folder=str(folder), deliver=deliver)
    assert (end["cwd"], end["out"]) == (str(folder), f"{folder}\n")
    assert end["deliver"] == deliver
    assert head.recovery().ended["cu-1", 1]["deliver"] == deliver
    own = head.sandbox / "cu-2"
    end = head.shell("cu-2", "pwd", folder=str(own))
    assert end["out"] == f"{own}\n"
    assert own.stat().st_mode & 0o777 == 0o700
    assert "deliver" not in end


def test_tail_of_a_named_error_file_comes_back_when_the_unit_failed(head: Head) -> None:
    script = "head -c 9000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit "
    failed = head.shell("cu-1", script + "1", stderr="err")
    assert len(failed["err"]) == 4096
    assert failed["err"].endswith("xend\n")
    assert head.shell("cu-2", script + "0", stderr="err")["err"] == ""


def test_stream_without_a_name_is_captured_beside_a_named_one(head: Head) -> None:
    end = head.shell("cu-1", "echo out; echo err >&2", stdout="out")
    assert (end["out"], end["err"], end["err_file"]) == (None, "err\n", "")


def test_both_streams_in_one_file_do_not_overwrite_each_other(head: Head) -> None:
    head.shell("cu-1", "echo 1; echo 2 >&2; echo 3", stdout="log", stderr="./log")
    assert (head.sandbox / "cu-1" / "log").read_text() == "1\n2\n3\n"


def test_standard_input_is_read_from_a_file(head: Head, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("input\n")
    assert head.run("cu-1", ["/bin/cat"], stdin=str(tmp_path / "in"))["out"] == "input\n"
    assert head.run("cu-2", ["/bin/cat"])["out"] == ""


def test_working_directory_is_made_and_used_as_it_is(head: Head) -> None:
    argv = ["/bin/sh", "-c", "pwd; echo > here"]
    end = head.run("cu-1", argv, cwd="shared/$DAY", env={"DAY": "monday"}, stdout="out")
    folder = head.sandbox / "shared" / "monday"
    assert end["cwd"] == str(folder)
    assert (folder / "out").read_text() == end["cwd"] + "\n"
    assert (folder / "here").exists()


def test_working_directory_in_the_home_folder(head: Head, tmp_path: Path) -> None:
    order = head.order("cu-1", ["/bin/pwd"], cwd="~/work", env={"HOME": str(tmp_path / "home")})
    head.start(order)
    assert head.end("cu-1")["out"] == str(tmp_path / "home" / "work") + "\n"


def test_program_without_a_slash_is_looked_up_in_the_units_path(head: Head, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "my-program"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho mine $0\n")
    program.chmod(0o755)
    end = head.run("cu-1", ["my-program"], env={"PATH": f"{program.parent}:$PATH"})
    assert end["out"] == f"mine {program}\n"
    lost = head.run("cu-2", ["my-program"], env={"PATH": "/bin:/nowhere"})
    assert lost["reason"] == "start"
    assert lost["message"] == "executable 'my-program' not found (looked for it in PATH=/bin:/nowhere)"


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (None, 0, "executable {0!r} not found"),
        ("#!/bin/sh\n", 0o600, "{0!r} is not executable; set its x permission (chmod +x)"),
        (
            "#!/no/such/python -u\n",
            0o700,
            "its interpreter '/no/such/python' (first line of the file) not found",
        ),
        ("#!/bin/sh\r\n", 0o700, "save the file with Unix line ends"),
        (
            "#!/etc/passwd\n",
            0o700,
            "its interpreter '/etc/passwd' (first line of the file) is not executable",
        ),
        ("echo no first line\n", 0o700, "is no program for this machine"),
    ],
)
def test_program_that_cannot_be_executed(
    head: Head, tmp_path: Path, content: str | None, mode: int, message: str
) -> None:
    program = tmp_path / "program"
    if content is not None:
        program.write_text(content)
        program.chmod(mode)
    end = head.run("cu-1", [str(program)])
    assert (end["code"], end["signal"], end["reason"]) == (None, None, "start")
    assert message.format(str(program)) in end["message"]


def test_folder_is_no_program(head: Head) -> None:
    assert head.run("cu-1", ["/tmp"])["message"] == "'/tmp' is a folder, not an executable"


def test_argument_list_that_is_too_long(head: Head) -> None:
    one = head.run("cu-1", ["/bin/true", "x" * 200_000])
    assert one["reason"] == "start"
    assert one["message"].startswith(
        "argument list too long: one argument or variable has 200001 bytes, the kernel "
    )
    assert "allows 131072" in one["message"]
    many = head.run("cu-2", ["/bin/true", *["x" * 100_000] * 100])
    assert many["message"].startswith("argument list too long: 10")
    assert head.run("cu-3", ["/bin/true", "x" * 100_000])["code"] == 0


def test_folder_that_cannot_be_made(head: Head, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    end = head.run("cu-1", ["/bin/true"], cwd=str(tmp_path / "file" / "below"))
    assert end["reason"] == "start"
    assert end["message"] == f"working directory '{tmp_path}/file/below' cannot be entered: Not a directory"


def test_files_that_cannot_be_opened(head: Head, tmp_path: Path) -> None:
    missing = head.run("cu-1", ["/bin/true"], stdin="missing")
    assert missing["message"] == (
        f"standard input '{head.sandbox}/cu-1/missing' cannot be opened: No such file or directory"
    )
    folder = head.run("cu-2", ["/bin/true"], stderr=str(tmp_path))
    assert folder["message"] == f"standard error '{tmp_path}' cannot be opened: Is a directory"


def test_named_pipe_is_refused_instead_of_waited_for(head: Head, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = head.run("cu-1", ["/bin/true"], stdout=str(pipe))
    assert end["message"].startswith(f"standard output '{pipe}' is a named pipe")


def test_full_device_is_a_reason_of_its_own(head: Head) -> None:
    end = head.shell("cu-1", "echo x", stdout="/dev/full")
    assert end["reason"] == "exit"
    assert head.run("cu-2", ["/bin/true"], stdout="/dev/null", stderr="/dev/null")["err"] == ""


def test_output_that_cannot_be_kept_is_said_and_the_lane_replaced(head: Head) -> None:
    end = head.shell("cu-1", "head -c 5000 /dev/zero; exit 1", sandbox="/dev/null/cu-1")
    assert end["message"].startswith("exit code 1; its output cannot be kept: ")
    assert head.shell("cu-2", "echo next")["out"] == "next\n"


def test_text_that_no_program_can_take_is_rejected(head: Head) -> None:
    nul = head.run("cu-1", ["/bin/echo", "a\0b"])
    assert nul["reason"] == "rejected"
    assert "null" in nul["message"]
    assert head.run("cu-2", ["/bin/echo", "\ud800"])["reason"] == "rejected"


def test_orders_that_make_no_sense_are_rejected_alone(head: Head) -> None:
    good = head.order("cu-good", ["/bin/true"])
    bad = [
        head.order("cu-1", ["/bin/true"], args="text"),
        head.order("cu-2", ["/bin/true"], env={"A": 1}),
        head.order("cu-3", ["/bin/true"], cores=[-1]),
        head.order("cu-4", ["/bin/true"], sandbox="relative"),
        {"id": "cu-5", "attempt": 7},
    ]
    head.start("nonsense", {}, *bad, good)
    head.end("cu-good")
    assert {head.end(f"cu-{number}")["reason"] for number in range(1, 6)} == {"rejected"}
    assert head.ends["cu-5"]["message"] == "order lacks the key 'exe'"
    assert head.recovery().ended[("cu-5", 7)] == head.ends["cu-5"]


def test_unit_that_is_here_already_is_not_started_again(head: Head, tmp_path: Path) -> None:
    signpost = Signpost(tmp_path / "signpost")
    head.start(head.order("cu-1", ["/bin/sh", "-c", f"read line < {signpost.path}"]))
    head.wait_started("cu-1")
    head.start(head.order("cu-1", ["/bin/true"], attempt=2))
    assert head.end("cu-1")["message"] == "unit cu-1 is already here"
    del head.ends["cu-1"]
    signpost.write("go")
    assert head.end("cu-1")["code"] == 0


def test_frames_that_make_no_sense_are_passed_over(head: Head) -> None:
    head.send("dance", [])
    head.send("place", [["cu-1"]])
    head.send("signal", [[1]])
    head.send("start", 5)
    assert head.run("cu-1", ["/bin/true"])["code"] == 0


def test_unit_that_is_ordered_twice_in_one_frame_starts_once(head: Head) -> None:
    head.start(head.order("cu-1", ["/bin/true"]), head.order("cu-1", ["/bin/true"], attempt=2))
    assert head.end("cu-1")["reason"] == "rejected"
    del head.ends["cu-1"]
    assert head.end("cu-1")["code"] == 0
