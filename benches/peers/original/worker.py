"""The workers: Celery, which books what the intake has queued.

A message is acknowledged only after the commit, so it may come again; the tables keep it once.
"""

import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import NamedTuple
from urllib.parse import parse_qsl

import psycopg
from celery import Celery
from celery_batches import Batches
from kombu import Queue

QUEUE = os.environ["PEER_QUEUE"]
DATABASE = os.environ["PEER_DATABASE"]
BATCH = int(os.environ.get("PEER_BATCH", "100"))
BATCH_WAIT_SECONDS = float(os.environ.get("PEER_BATCH_WAIT_SECONDS", "0.1"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RETRY_SECONDS = 0.5
# The statements are few and always want the same plan: made once for each connection, and such as
# suits tables that have grown, since they are made while the tables are empty.
PLANNING = (
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off"
    " -c enable_hashjoin=off -c enable_mergejoin=off"
)
TEXT_MAX = 255
AMOUNT_MAX = Decimal(10**12)

BOOK_ONE = """
    SELECT book_report(%s::bigint, %s::bigint, %s::text, %s::text, %s::bigint, %s::text,
                       %s::timestamptz)
"""
BOOK_ALL = """
    SELECT keep_reports(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[],
                        %s::text[], %s::timestamptz[]),
           book_claims(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[],
                       %s::timestamptz[])
"""
PARK = """
    INSERT INTO unmatched_conversions (conv_id, reason, query, received_at)
    VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

app = Celery("original", broker=os.environ["PEER_BROKER"])
app.conf.update(
    task_queues=[Queue(QUEUE, durable=True)],
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ["PEER_PREFETCH"]),
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
    worker_disable_rate_limits=True,
    broker_heartbeat=0,
)


# What the intake queues: id of the report, microseconds of its receipt, query.
Message = tuple[int, int, str]


class Report(NamedTuple):
    """One postback, read."""

    conv_id: int
    click_id: int
    txn_id: str
    status: str
    order_value: int | None
    query: str
    received_at: datetime


class Unusable(Exception):
    """A postback that can't be booked, and why."""


def read(conv_id: int, received_micros: int, query: str) -> Report:
    fields = dict(parse_qsl(query))
    try:
        click_id = int(fields.get("click_id") or fields["p1"])
    except (KeyError, ValueError):
        raise Unusable("click_id_invalid") from None
    if not 0 < click_id < 2**63:
        raise Unusable("click_id_invalid")
    txn_id, status = fields.get("txn_id", ""), fields.get("status", "pending")
    if len(txn_id) > TEXT_MAX or len(status) > TEXT_MAX or "\0" in txn_id or "\0" in status:
        raise Unusable("field_invalid")
    return Report(
        conv_id,
        click_id,
        txn_id,
        status,
        minor_units(fields.get("sale_amount")),
        query.replace("\0", ""),
        received_at(received_micros),
    )


def received_at(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def minor_units(amount: str | None) -> int | None:
    if not amount:
        return None
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise Unusable("sale_amount_invalid") from None
    if not (value.is_finite() and 0 <= value <= AMOUNT_MAX):
        raise Unusable("sale_amount_invalid")
    return int(value.scaleb(2).to_integral_value())


def fold(reports: Iterable[Report]) -> list[Report]:
    """One report for each claim: the latest decision, else the latest word, and the latest amount."""
    claims: dict[tuple[int, str], Report] = {}
    for report in sorted(reports, key=lambda report: (report.received_at, report.conv_id)):
        key = (report.click_id, report.txn_id)
        before = claims.get(key)
        if before is None:
            claims[key] = report
            continue
        decided = ("approved", "cancelled", "rejected")
        if before.status in decided and report.status not in decided:
            continue
        if report.order_value is None:
            report = report._replace(order_value=before.order_value)
        claims[key] = report._replace(conv_id=before.conv_id)
    return list(claims.values())


class Database:
    """A connection that is made again when it is lost; its statements are prepared."""

    def __init__(self) -> None:
        self.connection: psycopg.Connection | None = None

    def run(self, work) -> None:
        """Does it until it has succeeded: an error of the connection says that nothing is known."""
        while True:
            try:
                if self.connection is None or self.connection.closed:
                    self.connection = psycopg.connect(
                        DATABASE, autocommit=True, prepare_threshold=0, options=PLANNING
                    )
                work(self.connection)
                return
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if self.connection is not None:
                    self.connection.close()
                time.sleep(RETRY_SECONDS)


DATABASE_OF_PROCESS = Database()


def park(connection: psycopg.Connection, message: Message, reason: Unusable) -> None:
    conv_id, received_micros, query = message
    row = (conv_id, str(reason), query.replace("\0", ""), received_at(received_micros))
    connection.execute(PARK, row)


def arguments(reports: list[Report]) -> list[list]:
    kept = [list(column) for column in zip(*reports, strict=True)]
    folded = [list(column) for column in zip(*fold(reports), strict=True)]
    # Of a claim everything counts but the query.
    return kept + folded[:5] + folded[6:]


@app.task(name="original.book")
def book(*message) -> None:
    """A transaction for each message."""
    try:
        report = read(*message)
    except Unusable as reason:
        DATABASE_OF_PROCESS.run(lambda connection: park(connection, message, reason))
        return
    # As text, so that the statement is prepared once, whatever the size of the numbers.
    values = [None if value is None else str(value) for value in report]
    DATABASE_OF_PROCESS.run(lambda connection: connection.execute(BOOK_ONE, values))


@app.task(
    name="original.book_batch",
    base=Batches,
    flush_every=BATCH,
    flush_interval=BATCH_WAIT_SECONDS,
)
def book_batch(requests) -> None:
    """A transaction for up to a hundred messages."""
    reports, unusable = [], []
    for request in requests:
        try:
            reports.append(read(*request.args))
        except Unusable as reason:
            unusable.append((request.args, reason))

    def work(connection: psycopg.Connection) -> None:
        with connection.pipeline(), connection.transaction():
            if reports:
                connection.execute(BOOK_ALL, arguments(reports), binary=True)
            for message, reason in unusable:
                park(connection, message, reason)

    DATABASE_OF_PROCESS.run(work)
