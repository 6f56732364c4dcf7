"""Runs the original stack on this machine: PostgreSQL, RabbitMQ, uvicorn and Celery, each a child of
this process, on loopback and Unix sockets, with data of their own.

    python peer.py --booking transactions|batches --data DIRECTORY --listen 127.0.0.1:PORT

It prints one line of JSON once everything answers, and ends with all that it started on SIGTERM,
SIGINT, or when its standard input ends. A component that is missing is named, with status 2.
"""

import argparse
import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE_SECONDS = 90
STOP_SECONDS = 20
PR_SET_PDEATHSIG = 1

# Durable in every respect; the rest is what Hissaback's own PostgreSQL gets.
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "max_connections": "60",
}
# Schedulers of an idle broker needn't spin: RabbitMQ's guide for machines with few cores.
ERLANG_ARGUMENTS = (
    "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
)
INTAKE_WORKERS = 2
# How many processes book, and how many messages each is sent ahead.
BOOKINGS = {
    "transactions": {"task": "original.book", "workers": 8, "prefetch": 64},
    "batches": {"task": "original.book_batch", "workers": 1, "prefetch": 400},
}


class Missing(Exception):
    """A component that this machine doesn't have."""


def postgres_programs() -> Path:
    named = os.environ.get("HISSABACK_POSTGRES_BIN")
    if named:
        return Path(named)
    found = [
        path
        for path in Path("/usr/lib/postgresql").glob("*/bin")
        if path.parent.name.isdigit() and int(path.parent.name) >= 15
    ]
    if not found:
        raise Missing("PostgreSQL 15 or later is missing: run `make setup`")
    return max(found, key=lambda path: int(path.parent.name))


def rabbitmq_server() -> Path:
    server = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not server.exists() or not shutil.which("erl") or not shutil.which("epmd"):
        raise Missing("RabbitMQ is missing: run `make setup-peers` (Debian: rabbitmq-server)")
    return server


def check_packages() -> None:
    wanted = [
        line.split("==")
        for line in (HERE / "requirements.txt").read_text().splitlines()
        if "==" in line
    ]
    from importlib.metadata import PackageNotFoundError, version

    for name, expected in wanted:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "none"
        if found != expected:
            raise Missing(f"{name} {expected} is missing (found: {found}): run `make setup-peers`")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stack:
    """The processes, in the order in which they were started."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.children: list[tuple[str, subprocess.Popen]] = []

    def start(self, name: str, command: list, user: str | None = None, **environment: str) -> None:
        account = pwd.getpwnam(user) if user else None
        # Nothing outlives us, however we end.
        libc = ctypes.CDLL(None)

        def prepare() -> None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

        with (self.data / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=account.pw_dir if account else HERE,
                env={**os.environ, **environment},
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                preexec_fn=prepare,
                start_new_session=True,
            )
        self.children.append((name, child))

    def until(self, what: str, ready) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            for name, child in self.children:
                if child.poll() is not None:
                    said = (self.data / f"{name}.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{name} ended with {child.returncode}: {said}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} isn't up after {PATIENCE_SECONDS} s")
            time.sleep(0.05)

    def stop(self) -> None:
        for name, child in reversed(self.children):
            how = signal.SIGINT if name == "postgres" else signal.SIGTERM
            if child.poll() is None:
                child.send_signal(how)
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        self.children.clear()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start_postgres(stack: Stack) -> str:
    programs = postgres_programs()
    root = os.geteuid() == 0
    user = "postgres" if root else None
    home, run = stack.data / "postgres", stack.data / "run"
    for directory in (home, run):
        directory.mkdir(mode=0o700)
        if root:
            shutil.chown(directory, "postgres", "postgres")
    account = pwd.getpwnam(user) if user else None
    subprocess.run(
        [programs / "initdb", "-D", home, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        + ["--locale=C.UTF-8", "-k"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
    )
    settings = [f"-c{name}={value}" for name, value in POSTGRES_SETTINGS.items()]
    command = [programs / "postgres", "-D", home, f"-cunix_socket_directories={run}", *settings]
    stack.start("postgres", command, user=user)
    dsn = f"postgresql://postgres@/postgres?host={run}"

    def ready() -> bool:
        return subprocess.run([programs / "pg_isready", "-q", "-h", run]).returncode == 0

    stack.until("PostgreSQL", ready)
    return dsn


def start_rabbitmq(stack: Stack) -> str:
    server = rabbitmq_server()
    port, registry, distribution = free_port(), free_port(), free_port()
    home = stack.data / "rabbitmq"
    home.mkdir()
    (home / "rabbitmq.conf").write_text(
        f"listeners.tcp.default = 127.0.0.1:{port}\n"
        "loopback_users.guest = true\n"
        "log.console = false\n"
        "log.file.level = warning\n"
        # The share of memory is for machines that it has for itself; here it is no limit.
        "vm_memory_high_watermark.relative = 0.4\n"
        "disk_free_limit.absolute = 500MB\n"
    )
    (home / "enabled_plugins").write_text("[].\n")
    environment = {
        "HOME": str(home),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(registry),
        "RABBITMQ_NODENAME": f"peer{port}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG_ARGUMENTS,
        # One process less: the server itself takes our signals.
        "RABBITMQ_ALLOW_INPUT": "1",
    }
    stack.start("epmd", ["epmd"], **environment)
    stack.until("Erlang's port mapper", lambda: listens(registry))
    stack.start("rabbitmq", [server, "-noinput"], **environment)
    stack.until("RabbitMQ", lambda: listens(port))
    return f"amqp://guest:guest@127.0.0.1:{port}//"


def load(dsn: str, reference: Path | None) -> None:
    import psycopg

    with psycopg.connect(dsn) as connection:
        connection.execute((HERE / "schema.sql").read_text())
        if reference is not None:
            load_reference(connection, json.loads(reference.read_text()))


def load_reference(connection, file: dict) -> None:
    """What the benchmark's traffic needs of the file that `hissaback reference import` reads."""
    shares = {}
    for tenant in file["tenants"]:
        shares[tenant["tenant_id"]] = hundredths(tenant["versions"][-1]["default_share_pct"])
        connection.execute(
            "INSERT INTO tenants VALUES (%s, %s)", (tenant["tenant_id"], tenant["name"])
        )
    for offer in file["offers"]:
        terms = offer["versions"][-1]
        connection.execute(
            "INSERT INTO offers VALUES (%s, %s, %s, %s, %s)",
            (
                offer["offer_id"],
                offer["brand"],
                terms["currency"],
                hundredths(terms["base_commission_pct"]),
                terms["cool_off_days"],
            ),
        )
    for campaign in file["campaigns"]:
        tenant = campaign["tenant_id"]
        connection.execute(
            "INSERT INTO campaigns VALUES (%s, %s, %s)",
            (campaign["campaign_id"], tenant, shares[tenant]),
        )
    for link in file["links"]:
        connection.execute(
            "INSERT INTO links VALUES (%s, %s, %s, %s)",
            (link["link_id"], link["slug"], link["campaign_id"], link["offer_id"]),
        )


def hundredths(percentage: str) -> int:
    from decimal import Decimal

    return int(Decimal(percentage) * 100)


def start_python(stack: Stack, booking: str, listen: str, dsn: str, broker: str) -> None:
    settings = BOOKINGS[booking]
    programs = Path(sys.executable).parent
    environment = {
        "PEER_BOOKING": booking,
        "PEER_QUEUE": "conversions",
        "PEER_TASK": settings["task"],
        "PEER_PREFETCH": str(settings["prefetch"]),
        "PEER_BROKER": broker,
        "PEER_DATABASE": dsn,
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    for number in range(settings["workers"]):
        # A process for each, without a pool: nothing is handed from one process to the next.
        stack.start(
            f"worker-{number}",
            [programs / "celery", "-A", "worker", "worker", "--pool", "solo"]
            + ["--hostname", f"worker-{number}@localhost", "--loglevel", "WARNING"]
            + ["--without-gossip", "--without-mingle", "--without-heartbeat"],
            **environment,
        )
    host, port = listen.rsplit(":", 1)
    stack.start(
        "intake",
        [programs / "uvicorn", "intake:app", "--host", host, "--port", port]
        + ["--workers", str(INTAKE_WORKERS), "--loop", "uvloop", "--http", "httptools"]
        + ["--no-access-log", "--log-level", "warning", "--backlog", "4096"]
        + ["--no-proxy-headers", "--no-server-header"],
        **environment,
    )

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://{listen}/health", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    stack.until("the intake", answers)


def wait_for_end() -> None:
    ended = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: ended.set())

    def read_to_end() -> None:
        while sys.stdin.buffer.read1(4096):
            pass
        ended.set()

    threading.Thread(target=read_to_end, daemon=True).start()
    while not ended.wait(0.5):
        pass


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--booking", choices=BOOKINGS, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--reference", type=Path)
    arguments = parser.parse_args()
    stack = Stack(arguments.data)
    # Until everything is up, a signal ends it as an error does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        check_packages()
        postgres_programs()
        rabbitmq_server()
        arguments.data.mkdir(parents=True, exist_ok=True)
        arguments.data.chmod(0o755)
        dsn = start_postgres(stack)
        load(dsn, arguments.reference)
        broker = start_rabbitmq(stack)
        start_python(stack, arguments.booking, arguments.listen, dsn, broker)
        print(json.dumps({"postgres": str(stack.data / "run")}), flush=True)
        wait_for_end()
        return 0
    except Missing as missing:
        print(f"peer: {missing}", file=sys.stderr)
        return 2
    except (RuntimeError, subprocess.CalledProcessError) as error:
        print(f"peer: {error}", file=sys.stderr)
        return 1
    finally:
        stack.stop()


if __name__ == "__main__":
    sys.exit(main())
