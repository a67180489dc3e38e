#!/usr/bin/env python3
"""Checks exports and proofs of Pawl's audit log with nothing but Python and the log's public key.

    verify.py --key log.pub [--checkpoint FILE]... FILE...

A FILE is an export of 'pawl audit export', or a proof of 'pawl audit prove'. With --checkpoint the
log must go on from a checkpoint that was published before. It prints one line for each FILE, and the
exit code is 1 if one of them is not as it was sealed.
"""
import argparse, base64, functools, hashlib, json, re, sys

# Ed25519, by RFC 8032, section 5.1.7 and appendix A.
P, Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P)

def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P

def multiply(s, a):
    if s == 0:
        return 0, 1, 1, 0
    rest = multiply(s >> 1, add(a, a))
    return add(rest, a) if s & 1 else rest

def point(octets):
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    x = x * ROOT % P if (x * x - x2) % P else x
    if y >= P or (x * x - x2) % P or (x == 0 and sign):
        raise ValueError("it is no point of the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P

def signed_by(key, message, signature):
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % Q
    base = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    left, right = multiply(s, base), add(r, multiply(h, a))
    same = not any((left[i] * right[2] - right[i] * left[2]) % P for i in (0, 1))
    return len(signature) == 64 and s < Q and same

class Bad(Exception):
    """What is wrong with a file."""

def need(true, message):
    if not true:
        raise Bad(message)

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()

# Checkpoints: signed notes (c2sp.org/signed-note) in the form of c2sp.org/tlog-checkpoint.
def read_keys(path):
    keys = {}
    for line in filter(None, map(str.strip, open(path, encoding="utf-8"))):
        name, number, key = line.split("+", 2)
        raw = base64.b64decode(key)
        digest = sha256(name.encode(), b"\n", raw)[:4]
        need(raw[0] == 1 and digest.hex() == number, f"{path}: not an Ed25519 key of a log")
        keys[name, digest] = raw[1:]
    return keys

def open_checkpoint(note, keys):
    """The log's name, the size and the root, and whether one of the keys signed them."""
    text, _, signatures = note.rpartition("\n\n")
    text, known = f"{text}\n", False
    try:
        origin, size, root = text.split("\n")[:3]
        for line in signatures.splitlines():
            mark, name, raw = line.split(" ")
            need(mark == "\u2014", "forged: a checkpoint has a signature that can't be read")
            raw = base64.b64decode(raw)
            if key := keys.get((name, raw[:4])):
                known = name == origin and signed_by(key, text.encode(), raw[4:])
                need(known, "forged: a checkpoint's signature is wrong")
        return origin, int(size), base64.b64decode(root), known
    except ValueError:
        raise Bad("forged: a checkpoint can't be read")

# Entries and the tree, by RFC 6962.
def read_line(line):
    def once(members):
        need(len(members) == len(dict(members)), "edited: a line has one member twice")
        return dict(members)
    e = json.loads(line, object_pairs_hook=once)
    need(all(re.fullmatch("[a-z_]+", name) for name in e), "edited: a member of a line has no name of Pawl's")
    need("problem" not in e, f"the export ended early: {e.get('problem')}")
    return e

def node(left, right):
    return sha256(b"\x01", left, right)

def check_entry(line, e):
    """The leaf hash and the name of the entry that a line is; everything in the line must fit."""
    # The bytes of the payload. No string before it holds this, since quotation marks are escaped in strings.
    begin = line.index(',"payload":') + 11
    json.loads(line[:begin - 11] + "}")  # fails if this is within another member
    payload = line[begin:json.JSONDecoder().raw_decode(line, begin)[1]].encode()
    meta, salt = json.loads(e["metadata"]), bytes.fromhex(e.get("salt", ""))
    name = f"{e['call_id']}/{e['step']} (number {e.get('index')})"
    whole, _, part = e["at"].removesuffix("Z").partition(".")
    e["at"] = f"{whole}.{part:0<6}Z"  # microseconds, as metadata has them
    need(not e.get("damage"), f"edited: {name}: {e.get('damage')}")
    need(meta["v"] in (1, 2), f"{name}: its format is not known to this program")
    for field in ("call_id", "step", "kind", "at"):
        need(e[field] == meta[field], f"edited: {name}: its {field} differs from its metadata")
    if payload != b"null":  # else it was erased; version 2 hashes a salt in front of it
        need(len(salt) == (16 if meta["v"] == 2 else 0), f"edited: {name}: its salt is not one")
        good = sha256(salt, payload).hex() == meta["payload_sha256"]
        need(good, f"edited: {name}: its payload differs from its hash")
    leaf = sha256(b"\x00", e["metadata"].encode())
    need(leaf.hex() == e["leaf_hash"], f"edited: {name}: its metadata differs from its leaf hash")
    return leaf, name

def renamed(entries, old, new):
    """How many entries were sealed under a log's old name, by the entries about its names."""
    name, size = old, None
    for e in entries:
        if e["previous"] == name:
            size, name = e["size"] if name == old else size, e["origin"]
            if name == new:
                return size

def check_export(lines, keys, published):
    # The roots of the full trees that the entries make up; how many these are, and a checkpoint covers.
    trees, size, good = [], 0, 0
    root = lambda: functools.reduce(lambda right, left: node(left, right), reversed(trees))
    now = missing = unsealed = None
    known, emptied, erased, renames, changes, differs = False, {}, set(), [], [], []
    for line in lines:
        e = read_line(line)
        if missing is not None:
            need(e.get("index") != missing, f"reordered: entry number {missing} is not in its place")
        elif "checkpoint" in e:
            need(e.keys() <= {"checkpoint", "cursor"}, "edited: the line of a checkpoint holds more than that")
            origin, at, signed, known = open_checkpoint(e["checkpoint"], keys)
            need(at <= size, f"truncated: entry number {size} is missing: a checkpoint is of {at} entries")
            need(at == size, f"forged: a checkpoint of {at} entries stands behind {size}")
            need(signed == root(), f"changed: an entry from number {good} to {at - 1}: the root differs" if known else
                 "forged: a checkpoint has another root, and a key that is not the log's")
            changes += [(now, origin, good)] if now not in (None, origin) else []
            good, now = at, origin
        else:
            leaf, name = check_entry(line, e)
            if e["payload"] is None:
                emptied.setdefault(e["call_id"], name)
            elif e["kind"] == "call.erased":
                erased.update(e["payload"]["calls"])
            elif (e["kind"], e["call_id"]) == ("log.renamed", "@log"):
                renames.append(e["payload"])
            if "index" not in e:
                unsealed = unsealed or name
                continue
            need(unsealed is None, f"inserted: {unsealed}: entries behind it were sealed")
            need(e["index"] >= size, f"inserted: {name}: its number was there before")
            if e["index"] > size:
                missing = size
                continue
            n, size = size, size + 1
            while n & 1:
                leaf, n = node(trees.pop(), leaf), n >> 1
            trees.append(leaf)
            differs += [p for p in published if p[1] == size and p[2] != root()]
    need(missing is None, f"deleted: entry number {missing} is missing")
    need(good == size, f"forged: entry number {good} and what follows has no checkpoint")
    need(known or size == 0, "forged: none of the keys signed the last checkpoint")
    for call, name in emptied.items():
        need(call in erased, f"edited: {name}: its details were removed, and no entry says that its call was erased")
    for old, new, at in changes:
        need(renamed(renames, old, new) == at, f"forged: no entry says that the log {old} was renamed to {new}")
    for p in sorted(published, key=lambda p: p[1]):
        need(now in (None, p[0]) or renamed(renames, p[0], now) is not None,
             f"forked: the log {p[0]} was published, and no entry says that it was renamed to {now}")
        need(p[1] <= size, f"rolled_back: {p[1]} entries were published, {size} are there")
        need(p not in differs, f"forked: the first {p[1]} entries are not those that were published")
    need(size > 0, "empty: nothing is sealed")
    return f"{size} entries"

def root_by(leaf, index, size, proof):
    """The root of a tree of some size, by one of its leaves and the roots of the trees beside it."""
    if size == 1 or not proof:
        return leaf if size == 1 and not proof else b"its length is wrong"
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return node(root_by(leaf, index, half, proof[:-1]), proof[-1])
    return node(proof[-1], root_by(leaf, index - half, size - half, proof[:-1]))

# By c2sp.org/tlog-proof.
def check_proof(text, keys):
    head, note = text.split("\n\n", 1)
    _, extra, index, *proof = head.split("\n")
    line = base64.b64decode(extra.removeprefix("extra ")).decode()
    e = read_line(line)
    leaf, name = check_entry(line, e)
    _, size, root, known = open_checkpoint(note, keys)
    need(known, "forged: none of the keys signed the checkpoint")
    need(index == f"index {e['index']}" and 0 <= e["index"] < size, f"edited: {name}: its proof has another number")
    leads_to = root_by(leaf, e["index"], size, [base64.b64decode(hash) for hash in proof])
    need(leads_to == root, f"edited: {name}: its proof does not lead to the checkpoint")
    return f"{name}: {e['kind']}"

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--key", required=True, help="file with the log's public key")
options.add_argument("--checkpoint", action="append", default=[], help="file with a published checkpoint")
options.add_argument("file", nargs="+")
given, failed = options.parse_args(), False
try:
    keys = read_keys(given.key)
    published = [open_checkpoint(open(path, encoding="utf-8").read(), keys) for path in given.checkpoint]
    need(keys, f"{given.key}: it holds no key")
    need(all(p[3] for p in published), "--checkpoint: none of the keys signed it")
except (Bad, OSError, ValueError, IndexError) as problem:
    options.error(problem)
for path in given.file:
    try:
        with open(path, encoding="utf-8", newline="\n") as f:
            proof = f.readline() == "c2sp.org/tlog-proof@v1\n"
            f.seek(0)
            print(f"{path}: ok: {check_proof(f.read(), keys) if proof else check_export(f, keys, published)}")
    except OSError as problem:
        options.error(problem)
    except (Bad, ValueError, KeyError, IndexError, TypeError) as problem:
        failed = True
        print(f"{path}: NOT OK: {problem if isinstance(problem, Bad) else f'it can not be read: {problem!r}'}")
sys.exit(failed)
