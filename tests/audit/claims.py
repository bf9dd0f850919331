"""What protocol and documentation claim of each party's view, as tests on recorded runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from audited_run import N_CLASSES, N_PARTIES, Recorded, World, record_run
from uniformity import high, independent_p, low, repeated_blocks, uniform_p

from capc.fixed_point import VOTE_BITS, Int64, modulo
from capc.roles import GUARDIAN, QUERYING, answering

# A finding below this is a leak. The audit has some hundred tests: it is wrong once in 10^7 runs.
SMALLEST_P = 1e-9
ENGINE_HEADER_BYTES = 40
CHOICE, MASKED, CORRELATE, CHOOSE = 4, 6, 14, 15  # engine/wire_format.hpp
VOTE_SHARE_HEADER_BYTES = 16
RANDOM_MESSAGES = ("CIRCUIT", "CIPHERTEXT", "MASKED_SHARE", "VOTE_SHARE")
ANSWERING = [answering(index) for index in range(N_PARTIES)]


@dataclass(frozen=True)
class Finding:
    """One test: whose view of what, whether it is as claimed, and the figure that says so."""

    claim: str
    subject: str
    holds: bool
    figure: str


class Evidence:
    """The runs that an audit looks at, each made when it is first asked for.

    `main` is the long one. The others are short and have as many queries as each other: `short`,
    the same `again` with the same --seed, with `other_queries`, and with `other_models`.
    `distributed` is as long as `main`, and has no trusted guardian; non-linear layers run by
    transfers in it, and in `other_transfers`, which is one batch of other queries to other models.
    """

    def __init__(self, folder: Path, worlds: Mapping[str, World]) -> None:
        self._folder = folder
        self._worlds = worlds
        self._runs: dict[str, Recorded] = {}

    def __getattr__(self, name: str) -> Recorded:
        if name not in self._runs:
            self._runs[name] = record_run(self._worlds[name], self._folder / name)
        return self._runs[name]


Claim = Callable[[Evidence], Iterator[Finding]]


def _chance(claim: str, subject: str, p: float) -> Finding:
    return Finding(claim, subject, p >= SMALLEST_P, f"p = {p:.2g}")


def _uniform(claim: str, subject: str, words: Int64, bits: int) -> Iterator[Finding]:
    yield _chance(claim, f"{subject}, high bits", uniform_p(high(words, bits)))
    yield _chance(claim, f"{subject}, low bits", uniform_p(low(words)))


def ring_bits(run: Recorded) -> int:
    """The ring of the linear layers, as the querying party's view names it."""
    return next(
        int(record.what.split()[1])
        for record in run.records[QUERYING]
        if record.kind == "view" and record.what.startswith("product")
    )


def vote_shares_are_uniform(evidence: Evidence) -> Iterator[Finding]:
    """Each half of a vote is uniform, and independent of the vote and of the class."""
    claim = "each half of a vote is uniform and independent of the vote"
    run = evidence.main
    for party, name in enumerate(ANSWERING):
        one_hot = np.eye(N_CLASSES, dtype=np.int64)[run.votes[party]]
        halves = {
            "querying": run.views(QUERYING, "argmax", f"argmax_1 {party}"),
            name: _sent_vote_shares(run, name),
        }
        total = modulo(VOTE_BITS, halves["querying"] + halves[name])
        yield Finding(
            "the halves of a vote add up to it", name, bool(np.array_equal(total, one_hot)), ""
        )
        for holder, words in halves.items():
            subject = f"{holder}, vote of {name}"
            yield from _uniform(claim, subject, words, VOTE_BITS)
            for bins in (high(words, VOTE_BITS), low(words)):
                yield _chance(claim, f"{subject}, by vote", independent_p(bins, one_hot))


def no_view_shows_the_vote(evidence: Evidence) -> Iterator[Finding]:
    """Whatever else the querying party learns from the programs of step 1c shows no vote."""
    run = evidence.main
    for party in range(N_PARTIES):
        names = {
            record.what
            for record in run.records[QUERYING]
            if record.kind == "view" and record.peer == f"argmax_1 {party}"
        }
        for name in sorted(names):
            words = run.views(QUERYING, name, f"argmax_1 {party}")
            for place in range(words.shape[1]):
                p = independent_p(low(words[:, place]), run.votes[party])
                yield _chance(
                    "what step 1c gives the querying party does not depend on the vote",
                    f"{name}, word {place} of party {party}",
                    p,
                )


def activations_are_hidden(evidence: Evidence) -> Iterator[Finding]:
    """The querying party's shares of layers are uniform in the ring."""
    claim = "the querying party's share of each layer is uniform"
    run = evidence.main
    bits = ring_bits(run)
    yield from _uniform(claim, "products", _flat(run, "product"), bits)
    yield from _uniform(claim, "activations", _flat(run, "relu"), bits)
    looked_up = evidence.distributed
    yield from _uniform(claim, "activations by transfers", _flat(looked_up, "look-ups"), bits)


def replies_fill_their_cells(evidence: Evidence) -> Iterator[Finding]:
    """Where in its cell a returned coefficient lies says nothing of the weights."""
    yield _chance(
        "a reply's coefficients are uniform within their cells",
        QUERYING,
        uniform_p(_flat(evidence.main, "cell")),
    )


def guardian_sees_no_votes(evidence: Evidence) -> Iterator[Finding]:
    """The guardian's sum of shares is uniform and independent of the votes."""
    claim = "the guardian's sum is uniform and independent of the votes"
    run = evidence.main
    total: Int64 = np.zeros((run.votes.shape[1], N_CLASSES), dtype=np.int64)
    counts = np.zeros_like(total)
    for party, name in enumerate(ANSWERING):
        received = run.messages(GUARDIAN, "received", "VOTE_SHARE", name)
        total += _words_of_votes(received)
        counts += np.eye(N_CLASSES, dtype=np.int64)[run.votes[party]]
    total = modulo(VOTE_BITS, total)
    yield from _uniform(claim, GUARDIAN, total, VOTE_BITS)
    for bins in (high(total, VOTE_BITS), low(total)):
        yield _chance(claim, f"{GUARDIAN}, by votes", independent_p(bins, counts))


def distributed_noise_hides_each_vote(evidence: Evidence) -> Iterator[Finding]:
    """Without a trusted guardian, even it and the querying party together see no party's vote."""
    claim = "guardian and querying party together do not see one party's vote"
    run = evidence.distributed
    for party, name in enumerate(ANSWERING):
        one_hot = np.eye(N_CLASSES, dtype=np.int64)[run.votes[party]]
        received = _words_of_votes(run.messages(GUARDIAN, "received", "VOTE_SHARE", name))
        share = run.views(QUERYING, "argmax", f"argmax_1 {party}")
        for subject, words in (
            (f"{GUARDIAN}, of {name}", received),
            (f"both, of {name}", modulo(VOTE_BITS, received + share)),
        ):
            yield from _uniform(claim, subject, words, VOTE_BITS)
            for bins in (high(words, VOTE_BITS), low(words)):
                yield _chance(claim, f"{subject}, by vote", independent_p(bins, one_hot))


def choices_are_hidden(evidence: Evidence) -> Iterator[Finding]:
    """A garbler gets uniform corrections in place of its peer's inputs, and so does a holder."""
    for run, kind, what, names in (
        (evidence.main, CHOICE, "corrections of transfers", (*ANSWERING, GUARDIAN)),
        (evidence.main, MASKED, "masked inputs", (*ANSWERING, GUARDIAN)),
        (evidence.distributed, CORRELATE, "corrections for look-ups", ANSWERING),
        (evidence.distributed, CHOOSE, "places in tables", ANSWERING),
    ):
        for name in names:
            bodies = [
                message[ENGINE_HEADER_BYTES:-1]  # the last byte may be filled up with zeros
                for message in run.messages(name, "received", "CIRCUIT")
                if message[5] == kind
            ]
            octets = np.frombuffer(b"".join(bodies), dtype=np.uint8)
            yield _chance(
                "a garbler's or holder's view of its peer's inputs is uniform",
                f"{name}, {what}",
                uniform_p(octets, 256),
            )


def inputs_are_masked(evidence: Evidence) -> Iterator[Finding]:
    """What an answering party gets of the inputs of linear layers is uniform in the ring."""
    claim = "the masked inputs of linear layers are uniform"
    for run in (evidence.main, evidence.distributed):
        bits = ring_bits(run)
        size = -(-bits // 8)
        for name in ANSWERING:
            body = b"".join(run.messages(name, "received", "MASKED_SHARE"))
            octets = np.zeros((len(body) // size, 8), dtype=np.uint8)
            octets[:, :size] = np.frombuffer(body, dtype=np.uint8).reshape(-1, size)
            yield from _uniform(claim, name, octets.view("<i8")[:, 0], bits)


def nothing_is_used_twice(evidence: Evidence) -> Iterator[Finding]:
    """No key, label, mask or ciphertext comes twice, in a run or in two with the same --seed."""
    for subject, runs in (
        ("one run", (evidence.main,)),
        ("two runs with the same --seed", (evidence.short, evidence.again)),
        ("one run by transfers", (evidence.distributed,)),
    ):
        for what in RANDOM_MESSAGES:
            messages = [
                _body(what, message)
                for run in runs
                for party in run.records
                for message in run.messages(party, "sent", what)
            ]
            count = repeated_blocks(messages)
            yield Finding(
                "nothing random is sent twice", f"{what}, {subject}", count == 0, f"{count} twice"
            )


def traffic_is_blind(evidence: Evidence) -> Iterator[Finding]:
    """Kinds, numbers and lengths of messages follow from the architecture alone."""
    for subject, other in (
        ("other queries", evidence.other_queries),
        ("other models", evidence.other_models),
    ):
        for party in (QUERYING, GUARDIAN, *ANSWERING):
            same = _traffic(evidence.short, party) == _traffic(other, party)
            yield Finding(
                "kinds, numbers and lengths of messages are the same",
                f"{party}, {subject}",
                same,
                "",
            )


def transfers_are_blind(evidence: Evidence) -> Iterator[Finding]:
    """So it is where layers run by transfers: a run of one batch is as the start of a long one."""
    for party in (QUERYING, GUARDIAN, *ANSWERING):
        long = _traffic(evidence.distributed, party)
        # The last message says whether another batch follows.
        one_batch = _traffic(evidence.other_transfers, party, but_last=True)
        begins = {key: long.get(key, [])[: len(lengths)] for key, lengths in one_batch.items()}
        same = begins == one_batch
        yield Finding(
            "by transfers, kinds, numbers and lengths of messages are the same",
            f"{party}, other queries and models",
            same and any(begins.values()),
            "",
        )


def logs_are_blind(evidence: Evidence) -> Iterator[Finding]:
    """The logs of answering parties do not change with the queries."""
    for name in ANSWERING:
        lines = [_log(run, name) for run in (evidence.short, evidence.other_queries)]
        yield Finding(
            "the log of an answering party does not depend on the query",
            name,
            lines[0] == lines[1],
            f"{len(lines[0])} lines",
        )


def files_hold_no_secret(evidence: Evidence) -> Iterator[Finding]:
    """No share or mask stands in a log or a file of results, as a number or as bytes."""
    run = evidence.main
    secret = {int(word) for word in _secret_words(run) if word >= 1 << 28}
    for path in sorted(run.folder.rglob("*")):
        if not path.is_file():
            continue
        text = path.read_bytes().decode("latin1")
        decimal = {int(word) for word in re.findall(r"(?<![\d.])\d{9,19}(?![\d.])", text)}
        hexadecimal = {int(word, 16) for word in re.findall(r"[0-9a-fA-F]{7,16}", text)}
        found = (decimal | hexadecimal) & secret
        yield Finding(
            "no share or mask stands in a file",
            str(path.relative_to(run.folder)),
            not found,
            f"{len(secret)} looked for",
        )


def unanswered_queries_have_no_label(evidence: Evidence) -> Iterator[Finding]:
    """Step 3 opens no label where the query is not answered."""
    outputs = evidence.main.views(QUERYING, "noisy argmax", "sum_histogram")
    refused = outputs[outputs[:, 0] == 0]
    yield Finding(
        "no label is opened of a query that is not answered",
        f"{len(refused)} of {len(outputs)} queries",
        bool(len(refused) and not refused[:, 1:].any()),
        "",
    )


CLAIMS: Mapping[str, Claim] = {
    claim.__name__: claim
    for claim in (
        vote_shares_are_uniform,
        no_view_shows_the_vote,
        activations_are_hidden,
        replies_fill_their_cells,
        guardian_sees_no_votes,
        distributed_noise_hides_each_vote,
        choices_are_hidden,
        inputs_are_masked,
        nothing_is_used_twice,
        traffic_is_blind,
        transfers_are_blind,
        logs_are_blind,
        files_hold_no_secret,
        unanswered_queries_have_no_label,
    )
}


def _flat(run: Recorded, what: str) -> Int64:
    return np.concatenate(
        [
            record.words.reshape(-1)
            for record in run.records[QUERYING]
            if record.kind == "view" and record.what.startswith(what)
        ]
    )


def _words_of_votes(messages: list[bytes]) -> Int64:
    joined = b"".join(message[VOTE_SHARE_HEADER_BYTES:] for message in messages)
    return np.frombuffer(joined, dtype="<u4").astype(np.int64).reshape(-1, N_CLASSES)


def _sent_vote_shares(run: Recorded, name: str) -> Int64:
    return _words_of_votes(run.messages(name, "sent", "VOTE_SHARE"))


def _secret_words(run: Recorded) -> Int64:
    shares = [_sent_vote_shares(run, name).reshape(-1) for name in ANSWERING]
    views = [_flat(run, what) for what in ("product", "relu", "argmax")]
    return np.concatenate([*shares, *views])


def _body(what: str, message: bytes) -> bytes:
    if what == "CIRCUIT":
        return message[ENGINE_HEADER_BYTES:]
    return message[VOTE_SHARE_HEADER_BYTES:] if what == "VOTE_SHARE" else message


def _traffic(
    run: Recorded, party: str, *, but_last: bool = False
) -> dict[tuple[str, str, str], list[int]]:
    """By peer, direction and type the lengths of the messages, in order.

    Products and masks go where the line is free. So which message of another type comes before them
    is a matter of time. `but_last` leaves out the last message of each peer and direction.
    """
    messages: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for record in run.records[party]:
        if record.kind != "view":
            of_peer = messages.setdefault((record.peer, record.kind), [])
            of_peer.append((record.what, len(record.data)))
    found: dict[tuple[str, str, str], list[int]] = {}
    for (peer, direction), sent in messages.items():
        for what, length in sent[:-1] if but_last else sent:
            found.setdefault((peer, direction, what), []).append(length)
    return found


def _log(run: Recorded, party: str) -> list[str]:
    """The lines of a party's log without times, ports and process numbers."""
    text = (run.folder / "logs" / f"{party}.log").read_text()
    text = re.sub(r"^\S+ ?\S* ", "", text, flags=re.MULTILINE)
    return [re.sub(r"\d+\.\d+ s", "T s", line) for line in text.splitlines()]
