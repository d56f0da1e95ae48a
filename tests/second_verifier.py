# fmt: off
"""A second verifier of ledgers, from docs/ledger.md: python tests/second_verifier.py LEDGER [FIRST MANIFEST'S DIGEST].

Prints `whole`, or the first bad entry (`end`: the checkpoint, or what is around the entries) with status 1.
"""
# ruff: noqa: ANN001, ANN002, ANN201, ANN204, C901, D101, D102, E401, E701, E702, E731, I001, PLR0912, T201
# mypy: ignore-errors
import hashlib, math, re, sqlite3, struct, sys
from pathlib import Path
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
def need(right):
    if not right: raise ValueError
def start_of(major, count):
    size = 0 if count < 24 else 1 if count < 2**8 else 2 if count < 2**16 else 4 if count < 2**32 else 8
    return bytes([major << 5 | (23 + size.bit_length() if size else count)]) + count.to_bytes(8, "big")[8 - size :]
def encode(v):
    if type(v) is float: return b"\xfb" + struct.pack(">d", v)
    if type(v) is int: return start_of(0, v) if v >= 0 else start_of(1, -1 - v)
    if isinstance(v, (tuple, list)): return start_of(4, len(v)) + b"".join(map(encode, v))
    return start_of(2, len(v)) + v if type(v) is bytes else start_of(3, len(v.encode())) + v.encode()
def read(data, at, depth=0):
    if data[at] == 0xFB:
        need(math.isfinite(number := struct.unpack_from(">d", data, at + 1)[0]) and str(number) != "-0.0")
        return number, at + 9
    major, count, at = data[at] >> 5, data[at] & 31, at + 1
    need(major < 5 and count < 28 and (major < 4 or depth < 12))
    if count > 23: count, at = int.from_bytes(data[at : at + 2 ** (count - 24)], "big"), at + 2 ** (count - 24)
    if major < 2: return (-1 - count if major else count), at
    if major < 4: return data[at : at + count] if major == 2 else data[at : at + count].decode(), at + count
    items = []
    for _ in range(count):
        item, at = read(data, at, depth + 1); items.append(item)
    return tuple(items), at
def decode(data):
    value, end = read(data, 0)
    need(end == len(data) and encode(value) == data)
    return value
said = lambda label, *values: encode(("fedgap/1/" + label, *values))
sha = lambda *parts: hashlib.sha256(b"".join(parts)).digest()
within = lambda names, among: [*names] == [name for name in among if name in names]
def signed(public, signature, *words):
    try: Ed25519PublicKey.from_public_bytes(public).verify(signature, said(*words))
    except (InvalidSignature, ValueError): return False
    return True
blob = lambda v, most=2**40: type(v) is bytes and len(v) <= most
size = lambda n: lambda v: type(v) is bytes and len(v) == n
num = lambda low, high: lambda v: type(v) is int and low <= v <= high
text = lambda pattern: lambda v: type(v) is str and re.fullmatch(pattern, v) is not None
many = lambda f, most=2**60: lambda v: type(v) is tuple and len(v) <= most and all(map(f, v))
row = lambda *fs: lambda v: type(v) is tuple and len(v) == len(fs) and all(f(x) for f, x in zip(fs, v, strict=True))
def fraction(v):
    numbers = [int.from_bytes(x, "big", signed=True) for x in v] if row(*[lambda x: blob(x, 1024)] * 2)(v) else [0, 0]
    shortest = [n.to_bytes(((n if n >= 0 else ~n).bit_length() + 8) // 8, "big", signed=True) for n in numbers]
    return numbers[1] > 0 and math.gcd(*numbers) == 1 and shortest == [*v]

H, S, N, A, COUNT, UNITS = size(32), size(64), num(1, 2**40), num(0, 2**60), num(0, 2**40), num(-(2**62), 2**62)
ID, CODE = text(r"[a-z0-9][a-z0-9-]{0,62}"), text(r"[a-z0-9][a-z0-9._:-]{0,63}")
SPENT, ROOTS, VOICES, END = many(row(CODE, A)), many(row(ID, H)), many(row(ID, S)), many(fraction, 1)
STAND = text("verified|provisional|contracted|by-weight")
KINDS = {  # who signs (of an organisation: the field with its id), then the fields
    "manifest-signed": ("server", blob, many(row(H, S))),
    "policy-signed": ("funder", N, blob, N),
    "policy-approved": (3, N, H, N, ID),
    "member-changed": ("server", ID, N, text("joined|left|key|weight|name"), H),
    "round-opened": ("server", N, N, H, H, many(ID)),
    "roster-agreed": ("server", N, N, H, many(ID)),
    "aggregate-released": ("server", N, N, H, H, H, ROOTS, VOICES),
    "direction-committed": ("server", N, N, H, VOICES),
    "utility-observed": ("server", COUNT, UNITS, H),
    "opening-answered": (2, N, N, ID, H, many(row(ID, many(num(0, 2**32 - 1), 1)))),
    "contribution-estimated": ("server", N, ID, fraction, END, END, fraction, STAND, many(CODE), many(ID), H),
    "credit-confirmed": (1, N, ID, H),
    "credit-objected": (1, N, ID, H, CODE, H),
    "verdict": ("server", N, ID, CODE, H),
    "cost-claimed": (1, N, ID, SPENT, SPENT),
    "cost-bounded": ("server", N, ID, SPENT),
    "funding-settled": ("server", N, H, A, many(row(ID, A, A, A, A, A, A)), A, A, H),
    "checkpoint-cosigned": (0, ID, COUNT, H),
}
PERIODIC = re.compile("opening-|contribution-|credit-|verdict|cost-|funding-")
MANIFEST = "kind federation version members server f tau encoding model start training evaluation policy periods"
MANIFEST = [*MANIFEST.split(), "exchanges", "openings", "by", "simulation"]
SCHEMA = [("entry", "CREATE TABLE entry (position INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT"),
          ("head", "CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 0), checkpoint BLOB NOT NULL) STRICT")]

class Ledger:
    def __init__(self):
        self.peaks, self.roots, self.seen, self.origin, self.m, self.funder = [], [sha()], set(), b"", None, None
        self.keys, self.policies, self.statements, self.costs, self.latest = {}, {}, set(), set(), 0
        self.opened, self.agreed, self.released, self.last, self.consents = (0, 0), None, 0, {}, set()
    def later(self, kind, key, least):
        least, self.last[kind] = self.last.get(kind, least), key
        return least < key
    def add(self, body):
        author, signature, record, before = body[:32], body[32:96], body[96:], self.m
        leaf, count = sha(b"\0", body), len(self.roots) - 1
        need(leaf not in self.seen and not self.seen.add(leaf))
        name, *f = decode(record)
        kind = name[16:-2] if text(r"fedgap/1/record/[a-z-]+/1")(name) else ""
        need(kind in KINDS and row(*KINDS[kind][1:])(tuple(f)) and (count or kind == "manifest-signed"))
        who, is_manifest = KINDS[kind][0], kind == "manifest-signed"
        self.m = self.manifest(*f) if is_manifest else self.m
        self.origin = self.origin or self.m["digest"]
        need(who != "server" or author in {self.m["server"], (before or self.m)["server"]})
        need(type(who) is str or author == self.keys.get(f[who]))
        by_server = is_manifest or author == self.m["server"]
        place = ("entry", self.origin, count, self.roots[-1]) if by_server else ("record", self.origin)
        need(signed(author, signature, *place, record))
        self.tell(kind, f, author, self.m)
        self.latest = max(self.latest, f[0]) if PERIODIC.match(kind) else self.latest
        while count & 1:
            leaf, count = sha(b"\1", self.peaks.pop(), leaf), count >> 1
        self.peaks.append(leaf)
        for peak in self.peaks[-2::-1]:
            leaf = sha(b"\1", peak, leaf)
        self.roots.append(leaf)
    def manifest(self, data, approvals):
        m, old = dict(zip(MANIFEST, decode(data), strict=True)), self.m
        need(m["kind"] == "fedgap/1/manifest/1" and many(row(ID, text("(?s).*"), H, A))(m["members"]))
        keys, m["digest"] = {x[0]: x[2] for x in m["members"]}, sha(said("manifest", data))
        m["ids"] = [x[0] for x in m["members"]]
        need(m["ids"] == sorted({*m["ids"]}) and len({*keys.values(), m["server"]}) == len(keys) + 1)
        need(len(keys) + m["f"] < 2 * m["tau"] <= 2 * len(keys) and any(x[3] for x in m["members"]))
        signers = {key for key, signature in approvals if signed(key, signature, "manifest", m["digest"])}
        before = {x[0]: x[2] for x in old["members"]} if old else {}
        need({key for name, key in keys.items() if before.get(name) != key} <= signers)
        need((m["federation"], m["version"]) == (old["federation"], old["version"] + 1) if old else m["version"] == 1)
        need(not old or len(signers & {*before.values()}) >= (old["tau"] if old["by"] == "quorum" else len(before)))
        self.keys |= keys
        return m
    def tell(self, kind, f, author, m):
        match kind, f:
            case "policy-signed", (n, policy, first):
                name = sha(said("policy", policy))
                need(n == len(self.policies) + 1 and name not in self.policies and self.funder in {None, author})
                need((name, self.opened, first) == (m["policy"], (0, 0), 1) if n == 1 else first > self.latest)
                consents = sum((n, name, first, org) in self.consents for org in m["ids"])
                need(n == 1 or m["simulation"] or consents >= m["tau"])
                self.policies[name], self.funder = first, author
            case "policy-approved", (n, _, first, _):
                need(n == len(self.policies) + 1 > 1 and first > self.latest); self.consents.add((*f,))
            case "member-changed", (org, v, _, d): need((v, d) == (m["version"], m["digest"]) and org in self.keys)
            case "round-opened", (n, k, sid, d, cohort):
                need((n, k) > self.opened and n > self.released and d == m["digest"] and within(cohort, m["ids"]))
                self.opened, self.sid, self.cohort, self.agreed = (n, k), sid, cohort, None
            case "roster-agreed", (n, k, t2, orgs):
                need(self.opened == (n, k) and self.agreed is None and within(orgs, self.cohort))
                self.agreed = (t2, orgs)
            case "aggregate-released", (number, attempt, agreed, _, _, survivors, voices):
                stayed, signers, seats = [org for org, _ in survivors], [org for org, _ in voices], m["ids"].index
                need(self.opened == (number, attempt) and number > self.released)
                need(within(stayed, self.agreed[1] if self.agreed else self.cohort) and within(signers, stayed))
                if voices or not m["simulation"]:
                    roots = [(seats(org), root) for org, root in survivors]
                    need(self.agreed and agreed == sha(said("D", roots, self.sid, self.agreed[0])))
                    need(len(voices) >= m["tau"])
                    need(all(signed(self.keys[org], s, "agree", self.sid, seats(org), agreed) for org, s in voices))
                self.released = number
            case "direction-committed", (n, k, *_): need(self.later(kind, (n, k), (0, 0)) and n <= self.released)
            case "utility-observed", (n, _, _): need(self.later(kind, n, -1) and n <= self.released)
            case "opening-answered", (_, k, org, _, answers):
                need(k <= m["openings"] and all(peer in self.keys and peer != org for peer, _ in answers))
            case "contribution-estimated", (period, org, *_, peers, statement):
                need({org, *peers} <= self.keys.keys()); self.statements.add((period, statement))
            case "credit-confirmed" | "credit-objected", (n, _, d, *_): need((n, d) in self.statements)
            case "cost-claimed" | "cost-bounded", (period, org, *_):
                need(org in self.keys and (kind, period, org) not in self.costs); self.costs.add((kind, period, org))
            case "funding-settled", (n, d, *_): need(self.later(kind, n, 0) and self.policies.get(d, 2**60) <= n)
            case "checkpoint-cosigned", (_, n, root): need(0 < n < len(self.roots) and self.roots[n] == root)

def check(path: object, trusted: object = None) -> int | str | None:
    ledger, position, mode = Ledger(), 0, "ro" if Path(f"{path}-wal").exists() else "ro&immutable=1"
    database = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode={mode}", uri=True)
    one = lambda pragma: database.execute(f"PRAGMA {pragma}").fetchone()[0]
    try:
        for number, body in database.execute("SELECT position, body FROM entry ORDER BY 1"):
            need(number == position); ledger.add(body); position += 1
        need(position)
        entries, position = position, "end"
        ((_, head),) = database.execute("SELECT * FROM head")
        kind, origin, count, root, signature = decode(head)
        need(kind == "fedgap/1/checkpoint/1" and origin == ledger.origin)
        need(signed(ledger.m["server"], signature, "checkpoint", origin, count, root))
        if count != entries or root != ledger.roots[-1]:
            return min(count, entries) if count != entries else entries - 1
        tables = database.execute("SELECT name, sql FROM sqlite_schema ORDER BY 1").fetchall()
        need(trusted in {None, ledger.origin.hex()} and tables == SCHEMA)
        names = ("application_id", "user_version", "encoding", "freelist_count", "auto_vacuum", "integrity_check")
        need([*map(one, names)] == [0x66656467, 1, "UTF-8", 0, 0, "ok"])
        need(Path(f"{path}-wal").exists() or Path(path).stat().st_size == one("page_count") * one("page_size"))
    except (sqlite3.Error, struct.error, ValueError, TypeError, IndexError, RecursionError, MemoryError):
        return position
    finally:
        database.close()

if __name__ == "__main__":
    print("whole" if (found := check(*sys.argv[1:])) is None else f"first bad entry: {found}")
    sys.exit(found is not None)
