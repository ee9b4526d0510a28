#!/usr/bin/env python3
"""Real processes are killed at random, and what they took down is held against the promises by the simulator's checks."""
import json
import os
import random
import shutil

from varve_e2e import Cluster, expect, main, varve

SMALL = """
cluster: {name: histories, shards: 3, workers: 2, stores: 3}
model: {kind: mlr}
data: {kind: synthetic}
training: {steps: 600, batch: 16, seed: 3, optimizer: {kind: adam, learning_rate: 0.01}}
checkpoint: {write_quorum: 2, replicas: 3, codec: {kind: exact}}
"""
# What a run with recoveries must have given the checks to look at. A limit that holds in silence, and what only the
# end of a run shows, are the simulator's.
SHOWN = [
    "durable", "atomic", "proved", "fenced", "single-writer", "chained", "at-most-once", "deterministic", "monotonic",
    "bounded-loss", "honest",
]


def write(folder):
    path = os.path.join(folder, "cluster.yaml")
    with open(path, "w") as file:
        file.write(SMALL)
    return path


def check(directory, *more):
    code, out, error = varve("history", "check", "--run-dir", directory, "--json", *more, check=False)
    return code, json.loads(out) if out else {}, error


def holds(directory, shown=SHOWN):
    code, report, error = check(directory)
    expect(code == 0, f"exit {code}: {report.get('violations', [])[:5]} {error}")
    missing = [name for name in shown if report["facts"][name] == 0]
    expect(not missing, f"nothing was held against {missing}")
    print(f"        {report['records']} facts of {report['processes']} processes, {report['torn']} cut off")
    return report


def kill_at_random(cluster, chance, kills, last):
    for step in sorted(chance.sample(range(10, last), kills)):
        cluster.wait_step(step)
        node = chance.choice(
            ["shard-0", "shard-1", "shard-2", "worker-0", "worker-1", "store-0", "store-1", "store-2", "coordinator"])
        cluster.kill(node)
        cluster.wait_recovered(node)


def random_kills_keep_every_promise(folder):
    config = write(folder)
    chance = random.Random(int(os.environ.get("SEED", "5")))
    for number in range(int(os.environ.get("REPETITIONS", "1"))):
        directory = f"{folder}/run-{number}"
        cluster = Cluster(directory, config, steps=1500, history=True)
        try:
            kill_at_random(cluster, chance, 6, 500)
            # A store that comes back is looked at for what it had acknowledged.
            cluster.kill("store-1")
            cluster.wait_recovered("store-1")
            cluster.finish()
        finally:
            cluster.end()
        holds(directory, SHOWN + ["tail"])


def pauses_and_other_modes_keep_every_promise(folder):
    config = write(folder)
    chance = random.Random(9)
    for name, sets in [
        ("partial", ["recovery.mode=partial"]), ("ssp", ["training.consistency=ssp", "training.staleness=2"]),
        ("lossy", ["checkpoint.codec.kind=lc", "checkpoint.codec.bits=3", "checkpoint.max_lag=2"]),
    ]:
        cluster = Cluster(f"{folder}/{name}", config, steps=900, sets=sets, history=True)
        try:
            kill_at_random(cluster, chance, 2, 200)
            cluster.wait_step(210)
            cluster.kill("shard-1", "STOP")
            cluster.wait_recovered("shard-1")
            cluster.finish()
        finally:
            cluster.end()
        holds(f"{folder}/{name}", ["durable", "atomic", "proved", "fenced", "chained", "at-most-once", "honest"])


def everything_dies_and_the_history_goes_on(folder):
    config = write(folder)
    directory = folder + "/run"
    cluster = Cluster(directory, config, steps=5000, history=True)
    try:
        cluster.wait_step(80)
        seen = cluster.kill_everything()
    finally:
        cluster.end()
    holds(directory, ["durable", "fenced", "at-most-once"])
    again = Cluster(directory, steps=seen + 200, resume=True)
    try:
        again.finish()
    finally:
        again.end()
    holds(directory, SHOWN + ["tail"])
    # A line that was being written when its process was killed counts for nothing, and harms nothing.
    history = directory + "/history"
    worker = next(name for name in sorted(os.listdir(history)) if name.startswith("worker-0"))
    with open(f"{history}/{worker}", "ab") as file:
        file.write(b'{"process":{"node":"worker-0","incar')
    expect(holds(directory)["torn"] == 1, "a torn line was not told of")


def what_is_broken_is_found(folder):
    config = write(folder)
    directory = folder + "/run"
    code, _, error = check(folder)
    expect(code == 66, f"no run directory: exit {code} {error}")
    cluster = Cluster(directory, config, steps=60, history=True)
    try:
        cluster.finish()
    finally:
        cluster.end()
    holds(directory, ["durable", "at-most-once"])
    history = directory + "/history"

    def tampered(role, change):
        copy = folder + "/copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(history, copy)
        name = next(n for n in sorted(os.listdir(copy)) if n.startswith(role))
        with open(f"{copy}/{name}") as file:
            lines = change(file.read().splitlines())
        with open(f"{copy}/{name}", "w") as file:
            file.write("\n".join(lines) + "\n")
        return check(directory, "--from", copy)

    def without(kind, step):
        return lambda lines: [line for line in lines if not (kind in line and f'"step":{step},' in line)]

    def again(kind, version):
        return lambda lines: [
            copy for line in lines for copy in [line] * (2 if kind in line and f'"version":{version},' in line else 1)]

    for role, change, invariant in [
        ("shard-1", again('"applied"', 20), "at-most-once"), ("store-2", without('"writing"', 30), "durable"),
        ("shard-0", without('"appended"', 10), "chained"),
        ("worker-1", lambda lines: [line for line in lines if '"clock":12,' not in line], "at-most-once"),
    ]:
        code, report, _ = tampered(role, change)
        names = {violation["invariant"] for violation in report["violations"]}
        expect(code == 2 and invariant in names, f"{invariant} of {role}: exit {code}, {names}")
    code, _, error = tampered("shard-0", lambda lines: lines[:5] + ["{"] + lines[5:])
    expect(code == 65 and ":6:" in error, f"a damaged line: exit {code} {error}")
    shutil.rmtree(history)
    code, _, error = check(directory)
    expect(code == 66 and "--history" in error, f"no history: exit {code} {error}")
    code, _, error = varve("up", "--resume", "--run-dir", directory, "--steps", "80", "--history", check=False)
    expect(code == 64 and "half of one" in error, f"half a history: exit {code} {error}")


if __name__ == "__main__":
    main(
        [
            random_kills_keep_every_promise, pauses_and_other_modes_keep_every_promise,
            everything_dies_and_the_history_goes_on, what_is_broken_is_found,
        ])
