#!/usr/bin/env python3
"""LeNet-5 on Fashion-MNIST with every role killed in turn: finishes, recovers quickly, and is as accurate as without faults.

Needs the data set; takes about a minute. Not part of the quick tests: run it by name.
"""
import os
import statistics
import sys

from varve_e2e import Cluster, expect, main
from recovery import write

LENET = """
cluster: {name: acceptance, shards: 3, workers: 2, stores: 3}
model: {kind: lenet5}
data: {kind: fashion-mnist}
training: {steps: 400, batch: 64, seed: 1, optimizer: {kind: sgd, learning_rate: 0.1, momentum: 0.9}}
checkpoint: {every: 1, write_quorum: 2, replicas: 3, codec: {kind: lc, bits: 3}}
"""


def eight_kills(folder):
    config = write(folder, LENET)
    quiet = Cluster(folder + "/quiet", config)
    try:
        expected = quiet.finish(300)
    finally:
        quiet.end()
    cluster = Cluster(folder + "/run", config)
    nodes = ["shard-1", "worker-0", "store-2", "coordinator", "shard-0", "store-0", "shard-2", "worker-1"]
    try:
        for number, node in enumerate(nodes):
            cluster.wait_step(20 + number * 45)
            cluster.kill(node)
            cluster.wait_recovered(node)
        summary = cluster.finish(300)
    finally:
        cluster.end()
    for event in cluster.of("recovered"):
        print(f"        {event['node']}: {event['mode']}, detected {event['detected_ms']:.0f} ms, back {event['recovered_ms']:.0f} ms, {event['lost_steps']} steps again")
    print(f"        without faults {expected['accuracy']:.4f}, with {summary['accuracy']:.4f}; overhead {expected['checkpoint_overhead_percent']:.1f} %")
    shards = [e["recovered_ms"] for e in cluster.of("recovered") if e["node"].startswith("shard")]
    print(f"        shards: median {statistics.median(shards):.0f} ms, slowest {max(shards):.0f} ms")
    expect(summary["steps"] == 400 and summary["recoveries"] == 8, f"{summary['steps']} steps, {summary['recoveries']} recoveries: {cluster.of('fault')}")
    expect(abs(summary["accuracy"] - expected["accuracy"]) <= 0.02, "the accuracy differs by more than 2 points")


if __name__ == "__main__":
    main([eight_kills])
