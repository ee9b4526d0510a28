#!/usr/bin/env python3
"""Small files that claim to be huge, and files that are cut off while they are read: refused in words, quickly, in little memory."""
import ctypes
import ctypes.util
import gzip
import json
import os
import resource
import struct
import subprocess
import sys
import threading
import time

from varve_e2e import VARVE, expect, main, varve

XXHASH = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
XXHASH.XXH3_64bits.restype = ctypes.c_uint64
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../LCCheckpointTests/Golden")
RUN_HEADER = b"VLCR\x01" + bytes(11)


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def signed(frame):
    """Puts a frame's length and checksum in."""
    length = len(frame) + 8
    frame = frame[:6] + length.to_bytes(6, "little") + frame[12:]
    return frame + struct.pack("<Q", XXHASH.XXH3_64bits(frame, len(frame)))


def frame(delta, elements, scope, sections=None, padding=b"\x00", scopes=1):
    """A frame of one Float32 section w (or of others) with one scope, or many alike; its digests are zeros."""
    body = b"VLCF" + bytes([5, 1 if delta else 0]) + bytes(6) + varint(1)
    body += bytes(32 if delta else 16)
    body += sections if sections is not None else varint(1) + b"\x00" + varint(0) + varint(elements) + b"\x01w"
    table = b"\x01\x01w\x03F32\x01" + varint(elements) + b"\x00"
    body += varint(len(table)) + table
    body += varint(scopes) + (varint(len(scope)) + scope) * scopes
    return signed(body + (b"" if delta else padding))


def bits(*numbers):
    """A bit stream of numbers, each given with its bits."""
    whole, length = 0, 0
    for number, count in numbers:
        whole |= number << length
        length += count
    return whole.to_bytes((length + 7) // 8, "little")


def exact_of_constants(elements):
    return b"\x00" + varint(elements) + b"\x01\x04" + varint(elements) + b"\x00\x00" * 4


def lc_of_two_buckets(elements):
    """An lc scope of 2 bits up to its stream: 1.5 is of rank 254; 0.5 of one that is 2 more, gamma 010."""
    return b"\x11" + varint(elements) + varint(2) + bits((254, 9), (0x400000, 23), (0b010, 3), (0, 23))


def lc_of_constants(elements):
    """Every symbol is the zero bucket."""
    return lc_of_two_buckets(elements) + b"\x00\x00"


def lc_of_empty_blocks(elements):
    """The same as sparse blocks of nothing, each of 2^22 symbols, with one table in which everything is zero."""
    # One table, whose main symbol is 0, two frequencies of zero, one run token.
    head = b"\x62" + bytes([0b0100_0000]) + bits((1, 1), (0, 2), (1, 1), (1, 1), (0, 6))
    blocks = (elements + (1 << 22) - 1) >> 22
    return lc_of_two_buckets(elements) + head + b"\x00" * (blocks - 1)


def auto_of_all_levels():
    """No element, and 16,383 levels that it could have."""
    return b"\x02\x00\x00" + struct.pack("<f", 0) + varint(16383) + struct.pack("<f", 1) + bytes(9) + b"\x00\x00"


def lc_of_many_tables():
    """No element, one bucket, and a table for each of four contexts of two symbols, all of which are zero."""
    # Each symbol its own class, wide; the contexts' tables; each table told anew, its main symbol 0, the other absent.
    tables = [(0, 2), (1, 1), (0, 2)] + [(1, 1)] * 4 + [(0, 1), (1, 1)] + [(0, 1), (0, 1), (1, 1)] * 3
    return b"\x09\x00" + varint(1) + bits((254, 9), (0, 23)) + b"\x02\x12" + bits(*tables)


def model(path, elements=4):
    header = b'{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}' % (elements, 4 * elements)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + bytes(4 * elements))


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def refused(*command, code=65, seconds=10, mebibytes=192, output=None, lines=1):
    """Runs varve, which must leave with `code` and few lines, in time and in memory, and write nothing."""
    start = time.monotonic()
    process = subprocess.Popen([VARVE, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limited)
    watch = threading.Timer(6 * seconds, process.kill)
    watch.start()
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    watch.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    took, peak = time.monotonic() - start, usage.ru_maxrss / 1024
    what = f"{' '.join(map(str, command[:3]))}: exit code {process.returncode}, {took:.2f} s, {peak:.0f} MiB, {err.strip()[:200]}"
    expect(process.returncode == code, what)
    expect(1 <= len(err.strip().splitlines()) <= lines, what)
    expect(took <= seconds and peak <= mebibytes, what)
    expect(output is None or not os.path.exists(output), f"a file was left: {what}")


def bombs(folder):
    base, delta, out = (f"{folder}/{name}" for name in ("base.safetensors", "bomb.varve", "out.safetensors"))
    model(base)

    def bomb(content):
        with open(delta, "wb") as file:
            file.write(content)

    huge = 1 << 34  # elements: a state of 64 GiB, the most that a reader's limits grant
    for scope in (exact_of_constants(huge), exact_of_constants(huge << 8)):
        bomb(RUN_HEADER + frame(False, huge, scope))
        refused("codec", "unpack", delta, "-o", out, output=out)
        refused("codec", "inspect", delta)
    # What a base of some bytes may claim at most is decoded, in the memory that it claims: here 60 MiB of nothing.
    small = 15 << 20
    bomb(RUN_HEADER + frame(False, small, exact_of_constants(small)))
    refused("codec", "unpack", delta, "-o", out, output=out)
    for scope in (exact_of_constants(huge), lc_of_constants(huge)):
        bomb(frame(True, huge, scope))
        refused("codec", "decode", "--base", base, "--delta", delta, "-o", out, output=out)
    bomb(RUN_HEADER + frame(False, 4, exact_of_constants(4)) + frame(True, huge, lc_of_empty_blocks(huge)))
    refused("codec", "unpack", delta, "-o", out, output=out)
    # A frame that claims more blocks, sections or metadata than it has bytes.
    bomb(frame(True, huge, b"\x00" + varint(huge) + b"\x01\x04" + varint(huge) + b"\x03"))
    refused("codec", "inspect", delta)
    bomb(frame(True, 4, exact_of_constants(4), sections=varint(1 << 40)))
    refused("codec", "inspect", delta)
    # Many scopes with little to say and much to look up.
    for scope in (auto_of_all_levels(), lc_of_many_tables()):
        bomb(frame(True, 4, scope, scopes=20_000))
        refused("codec", "decode", "--base", base, "--delta", delta, "-o", out, output=out)


def runs(folder):
    """Runs whose frames are cut, missing, swapped or damaged: whatever looks at a run refuses them."""
    out = f"{folder}/out.safetensors"
    damaged = sorted(path for path in os.listdir(GOLDEN) if path.startswith("bad-") and path.endswith(".run"))
    expect(len(damaged) > 9, f"golden runs to refuse: {damaged}")
    for name in damaged:
        path = f"{GOLDEN}/{name}"
        refused("codec", "unpack", path, "-o", out, output=out)
        refused("codec", "unpack", path, "--tensor", "w", "-o", out, output=out)
        # What doesn't begin as a run is read as a frame.
        refused("codec", "inspect", path, "--json")


def small(path, value, texts=None, names=("w", "v")):
    header = {name: {"dtype": "F32", "shape": [3], "data_offsets": [12 * k, 12 * k + 12]} for k, name in enumerate(names)}
    header.update({"__metadata__": texts} if texts else {})
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + struct.pack(f"<{3 * len(names)}f", *[value + k for k in range(3 * len(names))]))
    return path


def texts_and_names(folder):
    """A step's own texts come back; names do nothing to a terminal; a delta on another model says so; a gap in a sequence isn't passed over."""
    run, out = folder + "/run.varve", folder + "/out.safetensors"
    states = [small(f"{folder}/S{step}.safetensors", step / 8, {"format": "pt", "step": f"{step}"}) for step in range(3)]
    varve("codec", "pack", *states, "-o", run)
    for more in [], ["--tensor", "v"]:
        for step in range(3):
            varve("codec", "unpack", run, "--step", str(step), *more, "-o", out)
            with open(out, "rb") as file:
                size, = struct.unpack("<Q", file.read(8))
                texts = json.loads(file.read(size))["__metadata__"]
            expect(texts == {"format": "pt", "step": f"{step}"}, f"step {step} {more}: {texts}")
    os.remove(states[1])
    varve("codec", "encode", "--base", states[0], "--target", states[2], "-o", run)
    other = small(folder + "/other", 5, names=("w", "u"))
    code, _, err = varve("codec", "decode", "--base", other, "--delta", run, "-o", folder + "/none", check=False)
    expect(code == 65 and "doesn't build on" in err, f"{code}: {err}")
    code, _, err = varve("bench", "ratios", folder, check=False)
    expect(code == 66, f"a sequence of one state: {code}: {err}")
    small(states[1], 1)
    os.rename(states[2], folder + "/S3.safetensors")
    code, _, err = varve("bench", "ratios", folder, check=False)
    expect(code == 66 and "lacks S2" in err, f"{code}: {err}")
    small(folder + "/coloured", 1, names=("\x1b[31m", "a\nb"))
    varve("codec", "pack", folder + "/coloured", "-o", run)
    for command in ["pack", folder + "/coloured", "-o", run], ["inspect", run]:
        _, out, _ = varve("codec", *command)
        expect("\x1b" not in out and "[31m" in out, repr(out))


def model_files(folder):
    path, out = f"{folder}/model.safetensors", f"{folder}/out.varve"
    for header in (
        b'{"w":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,16]}}',
        b'{"w":{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,9223372036854775807]}}',
        b'{"w":{"dtype":"F32","shape":[3037000500,3037000500],"data_offsets":[0,0]}}',
        b"[" * 100_000,
        b'{"w":' * 50_000,
    ):
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
        refused("codec", "pack", path, "-o", out, output=out)
    for length in (1 << 63, (1 << 64) - 1, 100_000_001, 10_000_000):
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", length) + b"{}")
        refused("codec", "pack", path, "-o", out, output=out)
    # A file of nothing that is larger than the memory there is.
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    refused("codec", "pack", path, "-o", out, code=1, output=out)


def data_sets(folder):
    images = struct.pack(">BBBBIII", 0, 0, 8, 3, 1 << 20, 1 << 10, 2)[:16]
    for part in ("train", "t10k"):
        with gzip.open(f"{folder}/{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(images)
        with gzip.open(f"{folder}/{part}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">BBBBI", 0, 0, 8, 1, (1 << 31) - 1))
    out = f"{folder}/states"
    refused("bench", "sequences", "-o", out, "--data", folder, output=out)
    ratings = f"{folder}/u.data"
    with open(ratings, "w") as file:
        file.write("16777215\t16777214\t3\t1\n" * 2)
    with open(f"{folder}/bad.data", "w") as file:
        file.write("16777215\t16777214\t3\t1\n99999999999\t1\t1\t1\n")
    refused("bench", "sequences", "--model", "mf", "-o", out, "--data", f"{folder}/bad.data", output=out)


def configurations(folder):
    path = f"{folder}/config.yaml"
    for text in (
        "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)),
        "[" * 100_000,
        "".join(" " * i + "a:\n" for i in range(2000)),
        "- " * 100_000,
        "a: " + "x" * (2 << 20),
    ):
        with open(path, "w") as file:
            file.write(text)
        refused("config", "check", path, code=78, lines=100)


def cut_off_while_read(folder):
    """Somebody else shortens a model again and again: each run ends in words or in a file, none by a signal."""
    base, target, out = f"{folder}/base.safetensors", f"{folder}/target.safetensors", f"{folder}/out.varve"
    elements = 1 << 20
    model(base, elements)
    model(target, elements)
    size = os.path.getsize(target)
    codes = set()
    for round in range(30):
        process = subprocess.Popen([VARVE, "codec", "encode", "--base", base, "--target", target, "-o", out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.003 * round)
        os.truncate(target, 4096)
        codes.add(process.wait(60))
        os.truncate(target, size)
    expect(codes <= {0, 65, 66}, f"exit codes {codes}")
    # Both ways it goes were met, or this showed nothing.
    expect(0 in codes and len(codes) > 1, f"exit codes {codes}")


if __name__ == "__main__":
    main([bombs, runs, texts_and_names, model_files, data_sets, configurations, cut_off_while_read])
