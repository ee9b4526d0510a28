"""Drives real clusters from outside: starts `varve up --json`, reads its events, kills nodes when steps are reached.

Every wait has a deadline, every process is ended, and nothing is slept on: what happens is what the events say.
"""
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

VARVE = os.environ.get("VARVE") or shutil.which("varve") or sys.exit("VARVE names no program")


class Failure(Exception):
    pass


def expect(condition, sentence):
    if not condition:
        raise Failure(sentence)


def varve(*arguments, timeout=120, check=True):
    """Runs one command to its end; returns (exit code, stdout, stderr)."""
    done = subprocess.run([VARVE, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)
    if check and done.returncode != 0:
        raise Failure(f"varve {' '.join(map(str, arguments))} left with {done.returncode}: {done.stderr.strip()}")
    return done.returncode, done.stdout, done.stderr


class Cluster:
    """A `varve up --json` and its events."""

    def __init__(self, directory, config=None, steps=None, sets=(), resume=False, history=False):
        self.directory = directory
        command = [VARVE, "up"] + ([config] if config else []) + ["--run-dir", directory, "--json"]
        if steps:
            command += ["--steps", str(steps)]
        for item in sets:
            command += ["--set", item]
        if resume:
            command += ["--resume"]
        if history:
            command += ["--history"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.events = []
        self.inbox = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.inbox.put(json.loads(line))
        self.inbox.put(None)

    def next(self, deadline):
        try:
            event = self.inbox.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            raise Failure(f"nothing happened for too long; last: {self.events[-1:]}\n{self.logs()}")
        if event is None:
            raise Failure(f"up ended early with {self.process.wait(10)}: {self.process.stderr.read().strip()}\n{self.logs()}")
        self.events.append(event)
        return event

    def wait(self, condition, seconds=60):
        """The first event from now on for which the condition holds."""
        deadline = time.monotonic() + seconds
        while True:
            event = self.next(deadline)
            if condition(event):
                return event

    def wait_step(self, step, seconds=60):
        return self.wait(lambda e: e["event"] == "step" and e["step"] >= step, seconds)

    def wait_recovered(self, node, seconds=30):
        return self.wait(lambda e: e["event"] == "recovered" and e["node"] == node, seconds)

    def kill(self, node, how="KILL"):
        varve("kill", node, "--signal", how, "--run-dir", self.directory)

    def finish(self, seconds=120):
        summary = self.wait(lambda e: e["event"] == "summary", seconds)
        code = self.process.wait(timeout=30)
        expect(code == 0, f"up left with {code}")
        return summary

    def of(self, kind):
        return [e for e in self.events if e["event"] == kind]

    def pids(self):
        status = json.loads(varve("status", "--json", "--run-dir", self.directory)[1])
        return [node["pid"] for node in status["nodes"] if node["pid"]] + [self.process.pid]

    def kill_everything(self):
        """SIGKILL for every process, `up` included; returns the last step that a user saw."""
        pids = self.pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(p) for p in pids), "a process survived SIGKILL")
        # What was printed before the end counts as seen.
        while (event := self.inbox.get(timeout=5)) is not None:
            self.events.append(event)
        return max(e["step"] for e in self.of("step"))

    def logs(self):
        return varve("logs", "--run-dir", self.directory, "--lines", "8", check=False)[1]

    def end(self):
        """Whatever happened, nothing of this cluster goes on."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=10)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, sentence, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < deadline, sentence)
        time.sleep(0.005)


def scratch():
    return tempfile.mkdtemp(prefix="varve-e2e-")


def main(tests):
    """Runs the tests named on the command line, or all; leaves with 1 when one fails."""
    wanted = sys.argv[1:]
    failed = 0
    ran = 0
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        folder = scratch()
        began = time.monotonic()
        ran += 1
        try:
            test(folder)
            print(f"ok      {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception as problem:  # every failure is told, and the next test runs
            failed += 1
            print(f"FAILED  {test.__name__}: {problem}", flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{ran - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
