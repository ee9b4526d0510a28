#!/usr/bin/env python3
"""Checkpoints outlive lost folders and damaged files: what is lost on one store is fetched from the others."""
import glob
import json
import os
import shutil

from varve_e2e import Cluster, expect, main, varve

CONFIG = """
cluster: {name: storage, shards: 2, workers: 2, stores: 3}
model: {kind: mlr}
data: {kind: synthetic}
training: {steps: 60, batch: 16, seed: 3, optimizer: {kind: adam, learning_rate: 0.01}}
checkpoint: {write_quorum: 2, replicas: 3, codec: {kind: exact}}
"""


def write(folder):
    path = os.path.join(folder, "cluster.yaml")
    with open(path, "w") as file:
        file.write(CONFIG)
    return path


def trained(folder, steps=60):
    cluster = Cluster(folder + "/run", write(folder), steps=steps)
    try:
        return cluster.finish()
    finally:
        cluster.end()


def export(folder, *more):
    path = folder + "/model.safetensors"
    out = varve("export", "--run-dir", folder + "/run", "-o", path, "--json", *more)[1]
    expect(os.path.getsize(path) > 7850 * 4, "the exported model is too small to be whole")
    os.remove(path)
    return json.loads(out)


def verify(folder, *more):
    code, out, err = varve("checkpoints", "verify", "--run-dir", folder + "/run", "--json", *more, check=False)
    expect(code in (0, 2) and err == "", f"verify left with {code}: {err}")
    report = json.loads(out)
    expect(set(report) >= {"ok", "checked", "corrupt", "repaired"}, f"verify said {report}")
    expect(report["ok"] == (code == 0), f"verify left with {code} and said ok: {report['ok']}")
    for item in report["corrupt"]:
        expect(set(item) == {"store", "step", "shard", "what"}, f"verify named damage as {item}")
    return report


def flip(folder, store, share=0.5):
    """Turns 64 bytes over within what the store has written; returns how many files were damaged."""
    files = glob.glob(f"{folder}/run/stores/{store}/segment-*.varve")
    for path in files:
        with open(path, "r+b") as file:
            # A segment is made larger than what stands in it: the middle of what was written is meant.
            size = len(file.read().rstrip(b"\0"))
            place = 4096 + int((size - 4096) * share)
            file.seek(place)
            old = file.read(64)
            file.seek(place)
            file.write(bytes(byte ^ 0xA5 for byte in old))
    return len(files)


def a_store_loses_its_folder(folder):
    cluster = Cluster(folder + "/run", write(folder), steps=400)
    store = folder + "/run/stores/store-1"
    try:
        cluster.wait_step(30)
        shutil.rmtree(store)
        back = cluster.wait_recovered("store-1")
        expect(any(e["node"] == "store-1" for e in cluster.of("fault")), "nobody told of the lost folder")
        # The model may be taken out while training goes on.
        taken = export(folder)
        expect(taken["step"] >= 30, f"step {taken['step']} was exported")
        summary = cluster.finish()
    finally:
        cluster.end()
    print(f"        store-1 back after {back['recovered_ms']:.0f} ms")
    expect(summary["steps"] == 400, f"{summary['steps']} steps instead of 400")
    expect(export(folder)["step"] == 400, "the last step can't be exported")
    expect(glob.glob(store + "/segment-*.varve"), "the folder was not made anew")
    report = verify(folder)
    damage = report["corrupt"][:3]
    expect(report["ok"], f"{len(report['corrupt'])} records are damaged or missing after the rebuild, such as {damage}")


def damage_is_named_and_mended(folder):
    digest = trained(folder)["model_digest"]
    sound = verify(folder)
    expect(sound["ok"] and sound["checked"] > 0 and not sound["corrupt"], f"a sound run: {sound}")
    expect(flip(folder, "store-1") > 0, "store-1 has no segment")
    report = verify(folder)
    expect(not report["ok"] and report["corrupt"], f"the damage was not seen: {report}")
    stores = {item["store"] for item in report["corrupt"]}
    expect(stores == {"store-1"}, f"store-1 was damaged, and {stores} named")
    expect(verify(folder) == report, "a second look without --repair sees something else")
    expect(export(folder)["step"] == 60, "two good copies are not enough for export")
    repaired = verify(folder, "--repair")
    expect(repaired["ok"] and repaired["repaired"] > 0, f"the damage was not mended: {repaired}")
    after = verify(folder)
    expect(after["ok"] and not after["corrupt"], f"the damage was not mended for good: {after}")
    # With the two others gone, what was mended must be enough.
    for other in ["store-0", "store-2"]:
        shutil.move(f"{folder}/run/stores/{other}", f"{folder}/{other}")
        os.mkdir(f"{folder}/run/stores/{other}")
    expect(export(folder).get("digest", digest) == digest, "the mended store holds another model")


def a_damaged_store_does_no_harm(folder):
    config = write(folder)
    cluster = Cluster(folder + "/run", config, steps=100000)
    try:
        cluster.wait_step(60)
        varve("down", "--run-dir", folder + "/run")
        stopped = cluster.finish()["steps"]
    finally:
        cluster.end()
    expect(flip(folder, "store-2", 0.3) > 0, "store-2 has no segment")
    again = Cluster(folder + "/run", steps=stopped + 1500, resume=True)
    try:
        again.wait_step(stopped + 20)
        # A shard that reads its state anew must not be given what is damaged.
        again.kill("shard-0")
        again.wait_recovered("shard-0")
        summary = again.finish()
    finally:
        again.end()
    expect(summary["steps"] == stopped + 1500, "the resumed run did not finish")
    expect(export(folder)["step"] == stopped + 1500, "the last step can't be exported")
    report = verify(folder, "--repair")
    expect(report["ok"], f"what was damaged can't be mended: {report}")
    expect(verify(folder)["ok"], "it was not mended for good")


def damage_is_mended_while_training(folder):
    cluster = Cluster(folder + "/run", write(folder), steps=100000)
    try:
        cluster.wait_step(40)
        expect(flip(folder, "store-0", 0.3) > 0, "store-0 has no segment")
        report = verify(folder)
        expect(not report["ok"] and {i["store"] for i in report["corrupt"]} == {"store-0"}, f"the damage was not seen: {report}")
        repaired = verify(folder, "--repair")
        expect(repaired["ok"] and repaired["repaired"] > 0, f"the damage was not mended: {repaired}")
        cluster.wait_step(cluster.events[-1].get("step", 40) + 20)
        varve("down", "--run-dir", folder + "/run")
        cluster.finish()
    finally:
        cluster.end()
    report = verify(folder)
    expect(report["ok"], f"the damage was not mended for good: {report}")


if __name__ == "__main__":
    main(
        [
            a_store_loses_its_folder, damage_is_named_and_mended, a_damaged_store_does_no_harm,
            damage_is_mended_while_training,
        ])
