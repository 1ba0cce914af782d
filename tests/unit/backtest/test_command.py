"""`modelslo backtest --jsonl` as a benchmark drives it: over a pipe, in lock-step, by its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import IO, cast

from tests.unit.backtest.lines import answers, text, trace

COMMAND = [sys.executable, "-c", "from modelslo.cli.main import main; raise SystemExit(main())", "backtest", "--jsonl"]

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
"""Without what would flush for it."""


def run(given: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments], input=given, capture_output=True, timeout=50, check=False, env=ENVIRONMENT
    )


def test_every_answer_comes_before_the_next_line_is_sent() -> None:
    # Given two traces of which the first ends early, and a process that is started once
    first, second = text(trace("small-binary", hours=0.2)), text(trace("one-segment", hours=0.2))
    lines = [*first[:20], first[-1], *second]
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        to, back = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        found = []
        # When a line is written, and after a scrape nothing until its answer was read
        for line in lines:
            to.write(line.encode())
            to.flush()
            if json.loads(line)["type"] == "scrape":
                found.append(json.loads(back.readline()))
        to.close()
        # Then all was answered, and at the end of input the process ends well
        assert back.read() == b""
        assert process.wait(20) == 0
    assert found == answers(lines)


def test_a_bad_line_ends_it_with_status_two_and_its_number_key_and_mend() -> None:
    lines = text(trace("small-binary", hours=0.2))
    for bad, words in (
        ("nonsense\n", b"no JSON"),
        (lines[6].replace('"loss_count": ', '"loss_count": "x", "was": ', 1), b'loss_count: "x" is no number'),
    ):
        ended = run("".join([*lines[:6], bad, *lines[7:]]).encode())
        assert ended.returncode == 2
        assert b"line 7: " in ended.stderr
        assert words in ended.stderr
        assert b"Traceback" not in ended.stderr
        # Answers alone are on standard output, and those before the line stand
        assert [json.loads(line)["k"] for line in ended.stdout.splitlines()] == [0, 1, 2, 3, 4]


def test_bytes_that_are_no_text_end_it_with_status_two() -> None:
    lines = text(trace("small-binary", hours=0.2))
    ended = run("".join(lines[:3]).encode() + b'{"type": "\xff\xfe"}\n')
    assert ended.returncode == 2
    assert b"line 4: no JSON" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_no_input_is_no_error_and_other_words_than_jsonl_are() -> None:
    ended = run(b"")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert run(b"", "--yaml").returncode == 2


def test_the_locale_makes_no_difference() -> None:
    """JSON is UTF-8: a trace may have any name."""
    lines = [line.replace("small-binary-0", "Größe 大") for line in text(trace("small-binary", hours=0.05))]
    given = "".join(lines).encode()
    ended = subprocess.run(
        COMMAND, input=given, capture_output=True, timeout=50, check=True, env={"LC_ALL": "C", "PYTHONUTF8": "0"}
    )
    assert {json.loads(line)["trace"] for line in ended.stdout.splitlines()} == {"Größe 大"}
