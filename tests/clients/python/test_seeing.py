"""What people and programs see of a running gateway: explain, top, and the access log."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import headrace

CHAT = {"model": headrace.MODEL, "messages": headrace.QUESTION, "max_tokens": 5}


def send(gateway, headers=(), **options):
    """The answer's headers."""
    completions = gateway.client(default_headers=dict(headers)).chat.completions
    return completions.with_raw_response.create(**CHAT, **options).headers


def explain(gateway, *arguments):
    return subprocess.run(
        [headrace.PROGRAM, "explain", *arguments, "--admin", gateway.admin],
        capture_output=True,
        text=True,
    )


def test_the_three_ways_to_ask_why_say_the_same(start_engine, serve):
    gateway = serve(start_engine())
    controls = {"routing-strategy": "slo-headroom", "x-headrace-explain": "1"}
    own = send(gateway, controls)["x-request-id"]
    theirs = send(gateway, {**controls, "x-request-id": "team/7"})
    assert theirs["x-request-id"] == "team/7"
    header = theirs["x-headrace-explain"]
    headrace.eventually(lambda: explain(gateway, "team/7").returncode == 0)
    page = headrace.get(gateway.admin, "/explain/team%2F7")
    assert explain(gateway, "team/7", "--json").stdout == page
    said = json.loads(page)
    for name in ["ttft_ms", "tpot_ms", "e2e_ms", "miss", "harm"]:
        assert float(re.search(rf"; {name}=([^;,]+)", header)[1]) == said["predicted"][name]
    text = explain(gateway, "team/7").stdout
    assert said["why"] in " ".join(text.split())
    assert re.search(r"TTFT +\S+ \S?s", text) and "→  a10" in text
    # One that the gateway has named, and both in the list.
    assert explain(gateway, own).stdout.startswith(f"{own}: completed")
    latest = explain(gateway).stdout
    assert "team/7" in latest and own in latest
    nobody = explain(gateway, "nobody")
    assert nobody.returncode == 1 and len(nobody.stderr.splitlines()) == 1


class Terminal:
    """A program at a terminal of this size."""

    def __init__(self, arguments, columns, lines, **environment):
        self.text = ""
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.environ.update(environment)
            # The size is there before the program looks.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            os.execv(headrace.PROGRAM, [headrace.PROGRAM, *arguments])

    def wait_for(self, words):
        """Reads until it has said them, from here on."""
        begin = len(self.text)

        def said():
            if select.select([self.file], [], [], 0.05)[0]:
                self.text += os.read(self.file, 65536).decode(errors="replace")
            return words in self.text[begin:]

        headrace.eventually(said)

    def press(self, key):
        os.write(self.file, key)

    def end(self):
        """Its exit status."""
        end = time.monotonic() + headrace.PATIENCE_S
        while time.monotonic() < end:
            try:
                if select.select([self.file], [], [], 0.05)[0]:
                    os.read(self.file, 65536)
            except OSError:
                pass  # It has closed its side.
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError("it did not end")


def test_top_goes_on_while_the_gateway_is_away(start_engine, serve):
    engine = start_engine()
    gateway = serve(engine)
    send(gateway)
    top = Terminal(["top", "--admin", gateway.admin, "--every", "200ms"], 60, 24, NO_COLOR="1")
    top.wait_for(engine.address)
    assert "\x1b[?1049h" not in top.text, "no alternate screen"
    assert not re.search(r"\x1b\[[0-9;]*m", top.text), "no colours"
    shown = re.split(r"\r?\n", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", top.text))
    assert max(map(len, shown)) <= 60
    gateway.stop()
    top.wait_for("Trying again: no answer")
    top.wait_for(engine.address)  # The last picture is still there.
    top.press(b"\x03")
    assert top.end() == 0


def test_top_without_a_terminal_is_one_picture(start_engine, serve):
    engine = start_engine()
    gateway = serve(engine)
    shown = headrace.run("top", "--admin", gateway.admin)
    assert shown == shown.replace("\x1b", "")
    assert shown.count(engine.address) == 1 and shown.startswith("headrace ")


def test_the_access_log_is_rotated_by_a_signal(start_engine, serve, tmp_path):
    file = tmp_path / "access.log"
    gateway = serve(start_engine(), log={"access": "json", "access_file": str(file)})
    send(gateway, {"x-request-id": "before"})
    headrace.eventually(lambda: "before" in file.read_text())
    file.rename(tmp_path / "access.log.1")
    gateway.process.send_signal(signal.SIGHUP)
    headrace.eventually(file.exists)
    send(gateway, {"x-request-id": "after"})
    headrace.eventually(lambda: "after" in file.read_text())
    (line,) = file.read_text().splitlines()
    assert json.loads(line)["request_id"] == "after"
    assert "lake" not in line


def test_a_full_disk_is_said_and_counted(start_engine, serve):
    gateway = serve(start_engine(), log={"access": "json", "access_file": "/dev/full"})
    send(gateway)
    headrace.eventually(lambda: "No space left on device" in gateway.log.read_text())
    assert gateway.metric("headrace_access_log_dropped_total") == 1
    send(gateway)  # It serves on.
    assert gateway.log.read_text().count("No space left on device") == 1
