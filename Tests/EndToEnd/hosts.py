#!/usr/bin/env python3
"""One cluster on three hosts: network namespaces of this test's own, joined by a bridge. Roles die and are started anew."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from varve_e2e import VARVE, Failure, alive, expect, main

COORDINATOR = "tcp://10.77.0.1:7000"
STEPS = 400
CONFIG = f"""
cluster: {{name: hosts, shards: 2, workers: 2, stores: 3}}
model: {{kind: mlr}}
data: {{kind: synthetic}}
training: {{steps: {STEPS}, batch: 16, seed: 3, optimizer: {{kind: adam, learning_rate: 0.01}}}}
checkpoint: {{write_quorum: 2, replicas: 3, codec: {{kind: exact}}}}
"""


def ip(*arguments, check=True):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20)
    if check and done.returncode != 0:
        raise Failure(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.returncode == 0


class Hosts:
    """Namespaces that see one another at 10.77.0.1, .2, … and see nothing else; all gone with end()."""

    def __init__(self, names):
        self.switch = f"varve{os.getpid()}-switch"
        self.spaces = {name: f"varve{os.getpid()}-{name}" for name in names}
        self.processes = []
        try:
            for space in [self.switch, *self.spaces.values()]:
                ip("netns", "add", space)
            ip("-n", self.switch, "link", "add", "bridge", "type", "bridge")
            ip("-n", self.switch, "link", "set", "bridge", "up")
            for number, (name, space) in enumerate(self.spaces.items(), 1):
                # Both ends are born within their namespaces, so nothing of this ever shows on the machine itself.
                ip("-n", space, "link", "add", "eth", "type", "veth", "peer", "name", f"port-{name}", "netns", self.switch)
                ip("-n", self.switch, "link", "set", f"port-{name}", "master", "bridge", "up")
                ip("-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", "eth")
                ip("-n", space, "link", "set", "eth", "up")
                ip("-n", space, "link", "set", "lo", "up")
        except BaseException:
            self.end()
            raise

    def start(self, host, log, *arguments):
        command = ["ip", "netns", "exec", self.spaces[host], VARVE, *arguments]
        with open(log, "ab") as file:
            # `ip netns exec` becomes the program that it starts: this process id is varve's own.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self.processes.append(process)
        return process

    def run(self, host, *arguments, timeout=30):
        command = ["ip", "netns", "exec", self.spaces[host], VARVE, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout)

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(timeout=10)
        for space in [*self.spaces.values(), self.switch]:
            ip("netns", "del", space, check=False)


class Run:
    """The roles of one cluster, each a process of a host."""

    def __init__(self, hosts, folder):
        self.hosts = hosts
        self.folder = folder
        self.roles = {}
        self.processes = {}
        with open(folder + "/cluster.yaml", "w") as file:
            file.write(CONFIG)
        directory = ["--run-dir", folder + "/run"]
        self.add("coordinator", "a", "coordinator", "--config", folder + "/cluster.yaml", *directory, "--bind", COORDINATOR)
        for index, (host, number) in enumerate([("a", 1), ("b", 2), ("c", 3)]):
            store = f"{folder}/store-on-{host}"
            os.mkdir(store)
            self.join(f"store-{index}", host, number, "--directory", store)
        for index, (host, number) in enumerate([("b", 2), ("c", 3)]):
            self.join(f"shard-{index}", host, number)
            self.join(f"worker-{index}", host, number)

    def join(self, node, host, number, *more):
        role, index = node.split("-")
        self.add(node, host, role, "--join", COORDINATOR, "--bind", f"tcp://10.77.0.{number}:0", "--index", index, *more)

    def add(self, node, host, *arguments):
        self.roles[node] = (host, arguments)
        self.start(node)

    def start(self, node):
        host, arguments = self.roles[node]
        self.processes[node] = self.hosts.start(host, f"{self.folder}/{node}.log", *arguments)

    def kill(self, node):
        process = self.processes[node]
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=10)

    def status(self):
        """What the coordinator says, asked for from another host; None while it does not answer."""
        done = self.hosts.run("b", "status", "--json", "--coordinator", COORDINATOR)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait(self, condition, sentence, seconds=60):
        deadline = time.monotonic() + seconds
        status = None
        while True:
            status = self.status() or status
            if status and condition(status):
                return status
            expect(time.monotonic() < deadline, f"{sentence}; the last status: {status}\n{self.logs()}")

    def wait_step(self, step):
        return self.wait(lambda s: s["step"] >= step, f"step {step} was not reached")

    def wait_back(self, node):
        pid = self.processes[node].pid
        return self.wait(
            lambda s: s["state"] == "running" and any(n["id"] == node and n["pid"] == pid and n["state"] != "dead" for n in s["nodes"]),
            f"{node} did not come back as process {pid}")

    def logs(self):
        text = ""
        for node in self.roles:
            with open(f"{self.folder}/{node}.log") as file:
                text += "".join(f"        {node}: {line}" for line in file.readlines()[-4:])
        return text


def a_cluster_on_three_hosts(folder):
    hosts = Hosts("abc")
    try:
        run = Run(hosts, folder)
        status = run.wait_step(20)
        places = {n["id"]: n["endpoint"] for n in status["nodes"] if n["id"].startswith(("shard", "store"))}
        for node, host in [("shard-0", 2), ("shard-1", 3), ("store-0", 1), ("store-1", 2), ("store-2", 3)]:
            expect(f"//10.77.0.{host}:" in places.get(node, ""), f"{node} is at {places.get(node)}, not on host {host}")
        for node in ["shard-0", "store-2", "coordinator", "worker-1"]:
            run.kill(node)
            run.start(node)
            status = run.wait_back(node)
            run.wait_step(status["step"] + 15)
        last = run.wait(lambda s: s["state"] == "finished" or s["step"] >= STEPS, "training did not end", 120)
        expect(last["step"] == STEPS, f"{last['step']} steps instead of {STEPS}")
        expect(last["recoveries"] >= 2, f"{last['recoveries']} recoveries")
        run.wait(lambda s: s["last_committed_step"] == STEPS, "the last step was not committed")
        print(f"        {last['step']} steps on three hosts, {last['recoveries']} recoveries")
    finally:
        hosts.end()
    expect(not any(alive(p.pid) for p in hosts.processes), "a process outlived its host")


if __name__ == "__main__":
    if os.geteuid() != 0 or shutil.which("ip") is None:
        print("skipped: network namespaces need root and the program ip")
        sys.exit(0)
    probe = f"varve{os.getpid()}-probe"
    if not ip("netns", "add", probe, check=False):
        print("skipped: this machine lets root make no network namespaces")
        sys.exit(0)
    ip("netns", "del", probe)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is taken down also then
    main([a_cluster_on_three_hosts])
