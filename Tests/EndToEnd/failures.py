#!/usr/bin/env python3
"""What can't work is refused: one line on stderr that says what, the right exit code, and nothing left behind."""
import contextlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess

from varve_e2e import Cluster, expect, main, varve, wait_until

GOOD = """
cluster: {name: small, shards: 2, workers: 1, stores: 1}
model: {kind: mlr}
data: {kind: synthetic}
training: {steps: 20, batch: 16}
"""


def write(folder, text, name="cluster.yaml"):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def processes_in(folder):
    """Processes that were told of anything within the folder."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/cmdline", "rb") as file:
                if folder.encode() in file.read():
                    found.append(int(entry))
    return found


def refused(code, *arguments, says=(), leaves=None, folder=None, timeout=60, quiet=True):
    """Runs what must fail with the code and one line that holds every given text."""
    left, out, err = varve(*arguments, check=False, timeout=timeout)
    told = f"varve {' '.join(map(str, arguments))} left with {left} and said {err!r}"
    expect(left == code, f"{told}: {code} was expected")
    expect(not quiet or out == "", f"{told}, and {out[:200]!r} on stdout")
    lines = err.splitlines()
    expect(len(lines) == 1 and lines[0].startswith("varve: "), f"{told}: one line from varve was expected")
    for text in says:
        expect(re.search(text, err), f"{told}: {text!r} was expected in it")
    if leaves is not None:
        expect(sorted(os.listdir(folder)) == sorted(leaves), f"{told}, and left {os.listdir(folder)} behind")
    if folder:
        wait_until(lambda: not processes_in(folder), f"{told}, and processes {processes_in(folder)} go on")
    return err


def malformed_configuration(folder):
    config = write(folder, "cluster: {name: small\nmodel: [\n")
    refused(78, "up", config, "--run-dir", folder + "/run", says=[r"cluster\.yaml:\d+"], leaves=["cluster.yaml"], folder=folder)
    config = write(folder, GOOD + "recovery: {mode: never}\n")
    refused(78, "up", config, "--run-dir", folder + "/run", says=[r"cluster\.yaml:6", "rollback"], leaves=["cluster.yaml"], folder=folder)
    config = write(folder, GOOD.replace("shards: 2", "shards: -2"))
    refused(78, "up", config, "--run-dir", folder + "/run", says=[r"cluster\.yaml:2", "shards"], leaves=["cluster.yaml"], folder=folder)


def unknown_key(folder):
    config = write(folder, GOOD.replace("batch: 16", "btach: 16"))
    refused(78, "up", config, "--run-dir", folder + "/run", says=[r"cluster\.yaml:5", "btach", "batch"], leaves=["cluster.yaml"], folder=folder)
    config = write(folder, GOOD)
    refused(
        78, "up", config, "--run-dir", folder + "/run", "--set", "training.stepz=3", says=["stepz", "steps"],
        leaves=["cluster.yaml"], folder=folder)


def missing_files(folder):
    refused(66, "up", folder + "/none.yaml", "--run-dir", folder + "/run", says=["none.yaml"], leaves=[], folder=folder)
    config = write(folder, GOOD.replace("kind: synthetic", "kind: fashion-mnist, path: /nonexistent"))
    refused(66, "up", config, "--run-dir", folder + "/run", says=["/nonexistent"], leaves=["cluster.yaml"], folder=folder)


def a_port_in_use(folder):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        config = write(folder, GOOD + f"network: {{coordinator_port: {port}}}\n")
        refused(1, "up", config, "--run-dir", folder + "/run", says=[str(port), "in use"], leaves=["cluster.yaml"], folder=folder)


@contextlib.contextmanager
def mounted(path, options):
    """A small file system in memory, and whether this test may make one."""
    os.makedirs(path, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "varve-test", path], capture_output=True, text=True)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", path], check=True)


def mountable():
    if os.geteuid() != 0:
        print("        skipped: only root may mount a file system")
        return False
    return True


def a_full_disk(folder):
    if not mountable():
        return
    config = write(folder, GOOD)
    with mounted(folder + "/disk", "size=64k") as made:
        if not made:
            print("        skipped: no file system can be mounted here")
            return
        with open(folder + "/disk/filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        refused(1, "up", config, "--run-dir", folder + "/disk/run", says=["full"], folder=folder)
        expect(os.listdir(folder + "/disk") == ["filler"], f"{os.listdir(folder + '/disk')} was left on the full disk")


def a_disk_that_fills_up(folder):
    """Who comes to the disk's end first is a matter of luck. The coordinator ends the run in words, after the half minute in which somebody may
    make room; a store says so, refuses, and goes on when there is room."""
    if not mountable():
        return
    config, disk = write(folder, GOOD.replace("steps: 20", "steps: 100000")), folder + "/disk"
    with mounted(disk, "size=6m") as made:
        if not made:
            print("        skipped: no file system can be mounted here")
            return
        cluster = Cluster(disk + "/run", config)

        def store_is_full():
            with contextlib.suppress(OSError), open(disk + "/run/logs/store-0.log") as log:
                return "no space left" in log.read()

        try:
            wait_until(lambda: cluster.process.poll() is not None or store_is_full(), "the disk was never full", 150)
            with contextlib.suppress(subprocess.TimeoutExpired):
                cluster.process.wait(60)
            if cluster.process.poll() is None:
                print("        the store was first")
                steps = [0]
                while not cluster.inbox.empty():
                    steps.append(cluster.inbox.get().get("step") or 0)
                subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
                cluster.wait_step(max(steps) + 20)
                varve("down", "--run-dir", disk + "/run")
                expect(cluster.process.wait(60) == 0, f"up left with {cluster.process.returncode}")
            else:
                err = cluster.process.stderr.read()
                expect(cluster.process.returncode == 1, f"up left with {cluster.process.returncode}: {err}")
                # Its log is on the same disk, and may have had no room for the reason.
                told = re.fullmatch(r"varve: .*(full|[Nn]o space|coordinator died again and again).*\n", err)
                expect(told, f"one line about the disk was expected, not {err!r}")
            wait_until(lambda: not processes_in(folder), f"processes {processes_in(folder)} go on")
        finally:
            cluster.end()


def a_read_only_disk(folder):
    if not mountable():
        return
    config = write(folder, GOOD)
    with mounted(folder + "/disk", "size=1m,ro") as made:
        if not made:
            print("        skipped: no file system can be mounted here")
            return
        refused(1, "up", config, "--run-dir", folder + "/disk/run", says=["read-only"], folder=folder)
        refused(1, "up", config, "--run-dir", folder + "/disk", says=["read-only"], folder=folder)
        expect(os.listdir(folder + "/disk") == [], "something was left on the read-only disk")


def a_directory_in_use(folder):
    config = write(folder, GOOD)
    cluster = Cluster(folder + "/run", config, steps=100000)
    try:
        cluster.wait_step(3)
        pid = str(cluster.process.pid)
        refused(1, "up", config, "--run-dir", folder + "/run", says=[pid])
        refused(1, "up", "--resume", "--run-dir", folder + "/run", says=[pid])
        cluster.wait_step(cluster.events[-1].get("step", 3) + 3)
        varve("down", "--run-dir", folder + "/run")
        cluster.finish()
    finally:
        cluster.end()
    wait_until(lambda: not processes_in(folder), f"processes {processes_in(folder)} go on")
    # What was a run is not overwritten by a new one either.
    refused(64, "up", config, "--run-dir", folder + "/run", says=["--resume"], folder=folder)


def a_run_goes_on_as_it_was(folder):
    config = write(folder, GOOD)
    cluster = Cluster(folder + "/run", config)
    try:
        cluster.finish()
    finally:
        cluster.end()
    kept = open(folder + "/run/config.yaml").read()
    for change, key in [("cluster.shards=3", "cluster.shards"), ("training.optimizer.kind=adam", "training.optimizer.kind")]:
        refused(
            78, "up", "--resume", "--run-dir", folder + "/run", "--steps", "500", "--set", change, says=[key, "new run"],
            folder=folder)
    expect(open(folder + "/run/config.yaml").read() == kept, "a refused configuration was kept")
    # Another run's store, with its promises and its steps, is none of this run's.
    other = Cluster(folder + "/other", config)
    try:
        other.finish()
    finally:
        other.end()
    shutil.rmtree(folder + "/run/stores/store-0")
    shutil.copytree(folder + "/other/stores/store-0", folder + "/run/stores/store-0")
    code, _, err = varve("up", "--resume", "--run-dir", folder + "/run", "--steps", "500", check=False)
    expect(code == 1 and "store-0" in err and "another run" in err.splitlines()[-1], f"up left with {code} and said {err!r}")
    wait_until(lambda: not processes_in(folder), f"processes {processes_in(folder)} go on")


def an_output_destroys_nothing(folder):
    header = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    for name, values in [("a", (1, 2)), ("b", (3, 5))]:
        with open(f"{folder}/{name}", "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header + struct.pack("<2f", *values))
    os.mkfifo(folder + "/pipe")
    encode = ["codec", "encode", "--base", folder + "/a", "--target", folder + "/b", "-o"]
    refused(64, *encode, folder + "/a", says=["another name"], leaves=["a", "b", "pipe"], folder=folder)
    refused(64, "codec", "pack", folder + "/a", folder + "/b", "-o", folder + "/b", leaves=["a", "b", "pipe"], folder=folder)
    refused(1, *encode, folder + "/pipe", says=["can't write"], leaves=["a", "b", "pipe"], folder=folder)


def no_run(folder):
    refused(66, "up", "--resume", "--run-dir", folder + "/none", says=["none"], leaves=[], folder=folder)
    os.mkdir(folder + "/other")
    write(folder, "mine", "other/notes.txt")
    refused(66, "up", "--resume", "--run-dir", folder + "/other", says=["other"], leaves=["other"], folder=folder)
    config = write(folder, GOOD)
    refused(66, "up", "--resume", config, "--run-dir", folder + "/other", says=["not a run directory"], folder=folder)
    expect(os.listdir(folder + "/other") == ["notes.txt"], "a foreign folder was touched")
    for command in [["status"], ["export", "-o", folder + "/m.npz"], ["down"], ["checkpoints", "verify"], ["logs"], ["kill", "shard-0"]]:
        refused(66, *command, "--run-dir", folder + "/none", says=["none"], leaves=["cluster.yaml", "other"], folder=folder)


if __name__ == "__main__":
    main(
        [
            malformed_configuration, unknown_key, missing_files, a_port_in_use, a_full_disk, a_disk_that_fills_up,
            a_read_only_disk, a_directory_in_use, a_run_goes_on_as_it_was, an_output_destroys_nothing, no_run,
        ])
