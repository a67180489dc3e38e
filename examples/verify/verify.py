#!/usr/bin/env python3
"""Checks exports and proofs of Pawl's audit log with nothing but Python and the log's public key.

    verify.py --key log.pub [--checkpoint FILE]... FILE...

A FILE is an export of 'pawl audit export', or a proof of 'pawl audit prove'. With --checkpoint the
log must go on from a checkpoint that was published before. It prints one line for each FILE, and the
exit code is 1 if one of them is not as it was sealed.
"""
import argparse, base64, hashlib, json, sys

# Ed25519, by RFC 8032, section 5.1.7 and appendix A.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(s, a):
    total = (0, 1, 1, 0)
    while s:
        if s & 1:
            total = add(total, a)
        a, s = add(a, a), s >> 1
    return total


def point(octets):
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    x = x * ROOT % P if (x * x - x2) % P else x
    if y >= P or (x * x - x2) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed_by(key, message, signature):
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % Q
    left, right = multiply(s, BASE), add(r, multiply(h, a))
    return not ((left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P)


class Bad(Exception):
    pass


def need(true, message):
    if not true:
        raise Bad(message)


# Checkpoints: signed notes (c2sp.org/signed-note) in the form of c2sp.org/tlog-checkpoint.
def read_keys(path):
    keys = {}
    for line in open(path, encoding="utf-8"):
        if line.strip():
            name, number, key = line.strip().split("+", 2)
            raw = base64.b64decode(key)
            digest = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
            need(raw[0] == 1 and digest.hex() == number, f"{path}: not an Ed25519 key of a log")
            keys[name, digest] = raw[1:]
    return keys


def open_checkpoint(note, keys):
    """The log's name, the size and the root, and whether one of the keys signed them."""
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    known = False
    try:
        origin, size, root = text.split("\n")[:3]
        for line in signatures.splitlines():
            need(line.startswith("\u2014 "), "forged: a checkpoint has a signature that can't be read")
            name, raw = line[2:].split(" ")
            raw = base64.b64decode(raw)
            if key := keys.get((name, raw[:4])):
                need(name == origin and signed_by(key, text.encode(), raw[4:]), "forged: a checkpoint's signature is wrong")
                known = True
        return origin, int(size), base64.b64decode(root), known
    except ValueError:
        raise Bad("forged: a checkpoint can't be read")


# Entries and the tree, by RFC 6962.
def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def instant(text):
    whole, _, part = text.removesuffix("Z").partition(".")
    return whole, part.ljust(6, "0")


def check_entry(line):
    """The entry of a line, and its leaf hash; everything in the line must fit."""
    # The bytes of the payload. No string before it holds this, since quotation marks are escaped in strings.
    begin = line.index(',"payload":') + 11
    payload = line[begin:json.JSONDecoder().raw_decode(line, begin)[1]].encode()
    e = json.loads(line)
    name = f"{e['call_id']}/{e['step']} (number {e.get('index')})"
    meta = json.loads(e["metadata"])
    need(not e.get("damage"), f"edited: {name}: {e.get('damage')}")
    need(meta["v"] in (1, 2), f"{name}: its format is not known to this program")
    salt = bytes.fromhex(e.get("salt", ""))  # version 2 hashes it in front of the payload
    need(payload == b"null" or len(salt) == (16 if meta["v"] == 2 else 0), f"edited: {name}: its salt is not one")
    for field in ("call_id", "step", "kind"):
        need(e[field] == meta[field], f"edited: {name}: its {field} differs from its metadata")
    need(instant(e["at"]) == instant(meta["at"]), f"edited: {name}: its time differs from its metadata")
    need(payload == b"null" or hashlib.sha256(salt + payload).hexdigest() == meta["payload_sha256"],
         f"edited: {name}: its payload differs from its hash")
    leaf = hashlib.sha256(b"\x00" + e["metadata"].encode()).digest()
    need(leaf.hex() == e["leaf_hash"], f"edited: {name}: its metadata differs from its leaf hash")
    return e, leaf, name


def renames_in(e):
    return [e["payload"]] if (e["kind"], e["call_id"]) == ("log.renamed", "@log") and e["payload"] else []


def renamed(entries, old, new):
    """How many entries were sealed under a log's old name, by the entries about its names."""
    name, size = old, None
    for e in entries:
        if e["previous"] == name:
            size, name = e["size"] if name == old else size, e["origin"]
            if name == new:
                return size
    return None


def check_export(lines, keys, published):
    stack, size, good, known, unsealed = [], 0, 0, False, None
    emptied, erased = {}, set()
    now, renames, changes, differs = None, [], [], []

    def root():
        total = stack[-1]
        for left in reversed(stack[:-1]):
            total = node(left, total)
        return total

    missing = None
    for line in lines:
        if line.startswith('{"checkpoint":'):
            origin, at, signed, known = open_checkpoint(json.loads(line)["checkpoint"], keys)
            if missing is None:
                need(at <= size, f"truncated: entry number {size} is missing: a checkpoint is of {at} entries")
                need(at == size, f"forged: a checkpoint of {at} entries stands behind {size}")
                need(signed == root(), f"changed: an entry from number {good} to {at - 1}: the root differs" if known else
                     "forged: a checkpoint has another root, and a key that is not the log's")
                changes += [(now, origin, good)] if now not in (None, origin) else []
                good, now = at, origin
            continue
        if missing is not None:
            need(json.loads(line).get("index") != missing, f"reordered: entry number {missing} is not in its place")
            continue
        e, leaf, name = check_entry(line)
        if e["payload"] is None:
            emptied.setdefault(e["call_id"], name)
        elif e["kind"] == "call.erased":
            erased.update(e["payload"]["calls"])
        if "index" not in e:
            unsealed = unsealed or name
            renames += renames_in(e)
            continue
        need(unsealed is None, f"inserted: {unsealed}: entries behind it were sealed")
        need(e["index"] >= size, f"inserted: {name}: its number was there before")
        if e["index"] > size:
            missing = size
            continue
        n, size = size, size + 1
        while n & 1:
            leaf, n = node(stack.pop(), leaf), n >> 1
        stack.append(leaf)
        renames += renames_in(e)
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


def check_proof(text, keys):
    head, note = text.split("\n\n", 1)
    lines = head.split("\n")
    need(lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("extra "), "it is not a proof of an entry")
    e, leaf, name = check_entry(base64.b64decode(lines[1][6:]).decode())
    index, proof = int(lines[2].removeprefix("index ")), [base64.b64decode(h) for h in lines[3:]]
    _, size, root, known = open_checkpoint(note, keys)
    need(known, "forged: none of the keys signed the checkpoint")
    need(0 <= index < size and index == e["index"], f"edited: {name}: it has another number than its proof")
    at, last = index, size - 1
    for sibling in proof:  # RFC 9162, section 2.1.3.2
        need(last > 0, f"edited: {name}: its proof is too long")
        if at & 1 or at == last:
            leaf = node(sibling, leaf)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            leaf = node(leaf, sibling)
        at, last = at >> 1, last >> 1
    need(last == 0 and leaf == root, f"edited: {name}: its proof does not lead to the checkpoint")
    return f"{name}: {e['kind']}"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--key", required=True, help="file with the log's public key")
    options.add_argument("--checkpoint", action="append", default=[], help="file with a published checkpoint")
    options.add_argument("file", nargs="+")
    given, failed = options.parse_args(), False
    keys, published = read_keys(given.key), []
    for path in given.checkpoint:
        published.append(open_checkpoint(open(path, encoding="utf-8").read(), keys))
        need(published[-1][3], f"{path}: none of the keys signed it")
    for path in given.file:
        try:
            with open(path, encoding="utf-8", newline="\n") as f:
                proof = f.read(23).startswith("c2sp.org/tlog-proof")
                f.seek(0)
                print(f"{path}: ok: {check_proof(f.read(), keys) if proof else check_export(f, keys, published)}")
        except (Bad, ValueError, KeyError, IndexError, TypeError) as problem:
            failed = True
            print(f"{path}: NOT OK: {problem if isinstance(problem, Bad) else f'it can not be read: {problem!r}'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
