#!/usr/bin/env python3
"""Real processes are killed; training goes on, and under bsp with exact checkpoints it ends in the same bits."""
import os
import random
import signal
import json
import statistics
import time

from varve_e2e import VARVE, Cluster, alive, expect, main, varve, wait_until

SMALL = """
cluster: {name: small, shards: 3, workers: 2, stores: 3}
model: {kind: mlr}
data: {kind: synthetic}
training: {steps: 120, batch: 16, seed: 3, optimizer: {kind: adam, learning_rate: 0.01}}
checkpoint: {write_quorum: 2, replicas: 3, codec: {kind: exact}}
"""


def write(folder, text=SMALL, name="cluster.yaml"):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def every_role_dies(folder):
    config = write(folder)
    quiet = Cluster(folder + "/quiet", config)
    try:
        expected = quiet.finish()["model_digest"]
    finally:
        quiet.end()
    cluster = Cluster(folder + "/run", config, steps=2500)
    try:
        for number, node in enumerate(["shard-1", "worker-0", "store-2", "coordinator", "shard-0", "store-0", "shard-2", "worker-1"]):
            cluster.wait_step(15 + number * 25)
            cluster.kill(node)
            cluster.wait_recovered(node)
        summary = cluster.finish()
    finally:
        cluster.end()
    expect(summary["recoveries"] == 8, f"8 recoveries were expected, not {summary['recoveries']}: {cluster.of('fault')}")
    times = [e["recovered_ms"] for e in cluster.of("recovered") if e["node"].startswith("shard")]
    print(f"        shards back after {[round(t) for t in times]} ms, median {statistics.median(times):.0f}")
    expect(summary["steps"] == 2500, "not every step was done")
    again = Cluster(folder + "/again", config)
    try:
        again.wait_step(40)
        again.kill("shard-1")
        again.wait_recovered("shard-1")
        digest = again.finish()["model_digest"]
    finally:
        again.end()
    expect(digest == expected, "a run with a fault ends in other bits than one without")


def random_kills_end_in_the_same_bits(folder):
    config = write(folder)
    chance = random.Random(7)
    digests = set()
    for number in range(int(os.environ.get("REPETITIONS", "3"))):
        cluster = Cluster(f"{folder}/run-{number}", config, steps=800)
        try:
            kills = sorted(chance.sample(range(5, 300), 4)) if number else []
            for step in kills:
                cluster.wait_step(step)
                node = chance.choice(["shard-0", "shard-1", "shard-2", "worker-0", "worker-1", "store-1", "coordinator"])
                cluster.kill(node)
                cluster.wait_recovered(node)
            digests.add(cluster.finish()["model_digest"])
        finally:
            cluster.end()
    expect(len(digests) == 1, f"{len(digests)} different results")


def everything_dies_and_resumes(folder):
    config = write(folder)
    chance = random.Random(11)
    for number in range(int(os.environ.get("REPETITIONS", "3"))):
        directory = f"{folder}/run-{number}"
        cluster = Cluster(directory, config, steps=5000)
        try:
            cluster.wait_step(chance.randrange(10, 60))
            seen = cluster.kill_everything()
        finally:
            cluster.end()
        again = Cluster(directory, steps=seen + 500, resume=True)
        try:
            first = again.wait(lambda e: e["event"] == "step")
            summary = again.finish()
        finally:
            again.end()
        lost = seen + 1 - first["step"]
        expect(lost <= 1, f"{lost} steps were lost: step {seen} was seen, step {first['step']} came first")
        expect(summary["steps"] == seen + 500, "the resumed run did not finish")


def a_run_that_has_its_steps_ends_at_once(folder):
    cluster = Cluster(folder + "/run", write(folder), steps=60)
    try:
        cluster.finish()
    finally:
        cluster.end()
    # Fewer steps than there are, and just as many: nothing is left to do, and nothing waits.
    for steps in (40, 60):
        again = Cluster(folder + "/run", steps=steps, resume=True)
        try:
            expect(again.finish()["steps"] == 60, "the run is at another step than before")
        finally:
            again.end()


def nothing_outlives_up(folder):
    cluster = Cluster(folder + "/run", write(folder), steps=1000000)
    try:
        # Long enough for threads that began the processes to have been retired.
        until = time.monotonic() + 12
        cluster.wait(lambda e: time.monotonic() > until)
        pids = cluster.pids()
        cluster.kill("shard-1", "STOP")
        os.kill(cluster.process.pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(p) for p in pids), "a process outlived up")
    finally:
        cluster.end()


def a_paused_shard_is_replaced(folder):
    cluster = Cluster(folder + "/run", write(folder), steps=200)
    try:
        cluster.wait_step(10)
        cluster.kill("shard-1", "STOP")
        cluster.wait_recovered("shard-1")
        cluster.finish()
    finally:
        cluster.end()


def stopping_leaves_a_checkpoint(folder):
    cluster = Cluster(folder + "/run", write(folder), steps=100000, sets=["checkpoint.every=50"])
    try:
        cluster.wait_step(60)
        os.kill(cluster.process.pid, signal.SIGINT)
        summary = cluster.finish(30)
    finally:
        cluster.end()
    code, out, _ = varve("export", "--run-dir", folder + "/run", "-o", folder + "/model.safetensors", "--json")
    expect(json.loads(out)["step"] == summary["steps"], "the last checkpoint is not of the last step")


def partial_recovery_keeps_the_others(folder):
    cluster = Cluster(folder + "/run", write(folder), steps=150, sets=["recovery.mode=partial"])
    try:
        cluster.wait_step(30)
        cluster.kill("shard-1")
        back = cluster.wait_recovered("shard-1")
        expect(back["mode"] == "partial", f"mode {back['mode']}")
        cluster.finish()
    finally:
        cluster.end()


def auto_keeps_to_its_error(folder):
    text = SMALL.replace("codec: {kind: exact}", "codec: {kind: auto, error: 1.0e-3}, slots_codec: {kind: auto, error: 1.0e-2}")
    expect("auto" in text, "the configuration has another codec than was thought")
    cluster = Cluster(folder + "/run", write(folder, text), steps=120)
    try:
        cluster.wait_step(40)
        cluster.kill("shard-1")
        recovered = cluster.wait_recovered("shard-1")
        expect(recovered["lost_steps"] <= 1, f"{recovered['lost_steps']} steps were lost")
        cluster.finish()
    finally:
        cluster.end()
    errors = [event["relative_error"] for event in cluster.of("checkpoint")]
    expect(len(errors) >= 100 and max(errors) <= 1e-3, f"of {len(errors)} checkpoints one has an error of {max(errors)}")
    expect(sum(error > 0 for error in errors) > 50, "the checkpoints are exact: nothing was shown")
    expect(json.loads(varve("checkpoints", "verify", "--run-dir", folder + "/run", "--json")[1])["ok"], "what was stored is damaged")


def other_consistencies_train_and_recover(folder):
    for number, sets in enumerate([["training.consistency=ssp", "training.staleness=2"], ["training.consistency=asp"]]):
        cluster = Cluster(f"{folder}/run-{number}", write(folder), steps=900, sets=sets)
        try:
            cluster.wait_step(30)
            cluster.kill("worker-0")
            cluster.wait_recovered("worker-0")
            cluster.kill("shard-0")
            cluster.wait_recovered("shard-0")
            cluster.finish()
        finally:
            cluster.end()


if __name__ == "__main__":
    main(
        [
            every_role_dies, random_kills_end_in_the_same_bits, everything_dies_and_resumes,
            a_run_that_has_its_steps_ends_at_once, nothing_outlives_up,
            a_paused_shard_is_replaced, stopping_leaves_a_checkpoint, partial_recovery_keeps_the_others,
            auto_keeps_to_its_error, other_consistencies_train_and_recover,
        ])
