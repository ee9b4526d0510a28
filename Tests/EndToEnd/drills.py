#!/usr/bin/env python3
"""Drills tell the truth: what holds passes, what can't hold fails in words, what can't strike is not run, and nothing is left."""
import glob
import json
import os
import re
import signal
import subprocess
import xml.etree.ElementTree

from varve_e2e import VARVE, expect, main, varve, wait_until

CLUSTER = """
cluster:
  configuration:
    cluster: {name: drill, shards: 2, workers: 1, stores: 3}
    model: {kind: mlr}
    data: {kind: synthetic}
    training: {steps: 1000000, batch: 16, seed: 3}
    checkpoint: {write_quorum: 2, replicas: 3, codec: {kind: exact}}
"""
KILL = """version: 1
name: small
about: A shard dies.
timeout: 60s""" + CLUSTER + """steps:
  - {name: warm up, wait: step >= 10}
  - {name: a shard dies, fault: kill, target: any shard}
  - {name: back, wait: recovered}
  - {name: goes on, wait: committed >= +10}
"""


def write(folder, text, name="small.yaml"):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def drill(folder, text, code, *more):
    """Runs one drill, and returns what it says as JSON."""
    os.environ["TMPDIR"] = folder
    left, out, err = varve("drill", "run", write(folder, text), "--json", *more, check=False)
    expect(left == code, f"the drill left with {left} instead of {code}: {out[-600:]} {err}")
    expect(scratch(folder) == [], f"{scratch(folder)} is left")
    return json.loads(out)


def scratch(folder):
    return glob.glob(folder + "/varve-drill-*")


def what_holds_passes(folder):
    result = drill(folder, KILL + "expect: {recoveries_at_least: 1, same_bits: true}\n", 0, "--report", folder + "/report", "--seed", "5")
    expect(result["verdict"] == "passed" and result["seed"] == 5, f"{result['verdict']} with seed {result['seed']}")
    struck = [e for e in result["history"] if e["kind"] == "fault"]
    expect(len(struck) == 1 and struck[0]["nodes"][0].startswith("shard-"), f"what struck: {struck}")
    outcomes = {c["name"]: c["outcome"] for c in result["checks"]}
    wanted = {"durable", "atomic", "proved", "deterministic", "monotonic", "bounded-loss", "live", "no_orphans"}
    expect(wanted <= set(outcomes) and set(outcomes.values()) == {"held"}, f"the checks: {outcomes}")
    again = drill(folder, KILL, 0, "--seed", "5")
    expect([e["nodes"] for e in again["history"] if e["kind"] == "fault"] == [struck[0]["nodes"]], "one seed drew two nodes")
    suite = xml.etree.ElementTree.parse(folder + "/report/junit.xml").getroot()
    expect(suite.get("failures") == "0" and int(suite.get("tests")) == len(result["checks"]) + 1, "the JUnit file says something else")
    with open(folder + "/report/index.html") as file:
        page = file.read()
    expect("passed" in page and "--seed 5" in page, "the page does not say how it went")
    expect(not re.search(r"(src|href)=|url\(|@import|https?://", page), "the page refers to something outside of it")
    with open(folder + "/report/drill.json") as file:
        expect(json.load(file)["verdict"] == "passed", "the JSON file says something else")


def what_cannot_hold_fails(folder):
    result = drill(folder, KILL + "expect: {recovered_within: 1ms}\n", 2)
    expect(result["verdict"] == "failed", f"the verdict is {result['verdict']}")
    expect(re.search(r"recovered_within 1 ms: the slowest was shard-\d with \d+ ms", result["reason"]), result["reason"])
    result = drill(folder, KILL.replace("committed >= +10", "epoch >= 900, within: 1s"), 2)
    expect(re.search(r"step 'goes on' \(line \d+\): epoch >= 900 did not come true within 1000 ms; epoch is \d", result["reason"]), result["reason"])


def what_cannot_strike_is_not_run(folder):
    result = drill(folder, KILL.replace("fault: kill, target: any shard", "fault: missing-segment, target: any store"), 2)
    expect(result["verdict"] == "not run", f"the verdict is {result['verdict']}")
    expect("has 1 segment" in result["reason"], result["reason"])
    result = drill(folder, KILL.replace("fault: kill, target: any shard", "fault: resume, target: any shard"), 2)
    expect(result["verdict"] == "not run" and "is not paused" in result["reason"], result["reason"])


def what_is_wrong_is_told_before(folder):
    path = write(folder, KILL.replace("wait: step >= 10", "wiat: step >= 10"))
    for command in ["check", "run"]:
        code, _, err = varve("drill", command, path, check=False)
        expect(code == 78 and re.search(r"small\.yaml:\d+: .*wiat|small\.yaml:\d+: step 1 does nothing", err), f"{code}: {err}")
    expect(varve("drill", "run", folder + "/none.yaml", check=False)[0] == 66, "a missing file")
    expect(varve("drill", "run", check=False)[0] == 64, "no file at all")


def an_interrupted_drill_leaves_nothing(folder):
    path = write(folder, KILL.replace("step >= 10", "step >= 900000, within: 50s"))
    os.environ["TMPDIR"] = folder
    process = subprocess.Popen([VARVE, "drill", "run", path], stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: "warm up" in process.stdout.readline(), "the drill does not begin", 30)
        wait_until(lambda: children(process.pid), "no cluster was started")
        up = children(process.pid)[0]
        wait_until(lambda: len(children(up)) == 7, "the nodes were not started", 30)
        pids = [up] + children(up)
        process.send_signal(signal.SIGINT)
        expect(process.wait(timeout=30) == 1, f"it left with {process.returncode}")
    finally:
        process.kill()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "a process goes on")
    expect(scratch(folder) == [], f"{scratch(folder)} is left")


def recoveries_are_timed(folder):
    os.environ["TMPDIR"] = folder
    _, out, _ = varve("bench", "recovery", "--kills", "1", "--json", "--report", folder + "/report")
    result = json.loads(out)
    roles = {row["role"]: row for row in result["roles"]}
    expect(result["verdict"] == "passed" and set(roles) == {"worker", "shard", "store", "coordinator"}, f"{result}")
    expect(all(row["count"] == 1 and row["total"]["median"] > 0 for row in roles.values()), f"{roles}")
    expect({"index.html", "drill.json", "junit.xml"} <= set(os.listdir(folder + "/report")), f"{os.listdir(folder + '/report')}")
    expect(scratch(folder) == [], f"{scratch(folder)} is left")


def children(pid):
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(path.split("/")[2]))
    return found


if __name__ == "__main__":
    main(
        [
            what_holds_passes, what_cannot_hold_fails, what_cannot_strike_is_not_run, what_is_wrong_is_told_before,
            an_interrupted_drill_leaves_nothing, recoveries_are_timed,
        ])
