//! What may depend on what: the tables that `edges` and `supply` check. ARCHITECTURE.md shows the
//! first one, word for word.

/// One of our crates and what its manifest may name.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The crate, without its prefix `haulier-`.
    pub name: &'static str,
    /// Our crates that it may name. Every crate may name core, so it stands here only for readers.
    pub ours: &'static [&'static str],
    /// Other people's crates that it may name.
    pub theirs: &'static [&'static str],
    /// Our crates that its tests may name besides.
    pub tests: &'static [&'static str],
}

/// Other people's crates that any crate's tests may name.
pub const TEST_TOOLS: &[&str] = &[
    "allocation-counter",
    // Layers of a test's own.
    "async-trait",
    // A test that writes a newer format has to write it soundly.
    "crc32c",
    "insta",
    "loom",
    // Messages are made by hand where a peer would send them.
    "prost",
    "proptest",
    "rand",
    "rand_pcg",
    // An authority, its certificates, and a gate that ends TLS.
    "rcgen",
    "rustls",
    "serde",
    "serde_json",
    // An example for its users.
    "sqlx",
    "tempfile",
    "tokio",
    // The clock of a database is set behind its store's back.
    "tokio-postgres",
    "tokio-rustls",
    "trycmd",
];

/// A crate earns its place by a wall that it holds up; these are the walls.
pub const ROWS: &[Row] = &[
    Row {
        name: "core",
        ours: &[],
        theirs: &["async-trait", "bytes", "rand_pcg", "thiserror", "uuid"],
        tests: &[],
    },
    Row { name: "derive", ours: &[], theirs: &["proc-macro2", "quote", "syn"], tests: &[] },
    Row {
        name: "memory",
        ours: &["core"],
        theirs: &["async-trait", "bytes", "thiserror", "uuid"],
        tests: &["conformance"],
    },
    Row {
        name: "embedded",
        ours: &["core"],
        theirs: &[
            "async-trait",
            "bytes",
            "crc32c",
            "foldhash",
            "hashbrown",
            "parking_lot",
            "rustix",
            "thiserror",
            "tokio",
            "tracing",
            "uuid",
        ],
        tests: &["conformance"],
    },
    Row {
        name: "postgres",
        ours: &["core"],
        theirs: &[
            "async-trait",
            "bytes",
            "deadpool-postgres",
            "futures-util",
            "rustls",
            "rustls-pki-types",
            "sha2",
            "thiserror",
            "tokio",
            "tokio-postgres",
            "tokio-postgres-rustls",
            "tracing",
            "uuid",
        ],
        // A PostgreSQL of a test's own is started there.
        tests: &["conformance", "sim"],
    },
    Row {
        name: "redis",
        ours: &["core"],
        theirs: &[
            "async-trait",
            "bytes",
            "crc32c",
            "futures-util",
            "redis",
            "rustls",
            "rustls-pki-types",
            "socket2",
            "thiserror",
            "tokio",
            "tokio-rustls",
            "tracing",
            "webpki-roots",
        ],
        // A Redis of a test's own is started there.
        tests: &["conformance", "sim"],
    },
    Row { name: "layers", ours: &["core"], theirs: &["async-trait", "tokio"], tests: &["memory"] },
    Row {
        name: "wire",
        ours: &["core"],
        theirs: &["bytes", "prost", "tonic", "tonic-prost", "tonic-types"],
        tests: &[],
    },
    Row {
        name: "remote",
        ours: &["core", "wire"],
        theirs: &[
            "async-trait",
            "bytes",
            "foldhash",
            "futures-util",
            "tokio",
            "tokio-stream",
            "tonic",
            "tracing",
        ],
        tests: &[],
    },
    Row {
        name: "worker",
        ours: &["core"],
        theirs: &["bytes", "futures-util", "serde", "serde_json", "tokio", "tower", "tracing"],
        tests: &["layers", "memory"],
    },
    Row {
        name: "haulier",
        ours: &[
            "core", "derive", "embedded", "layers", "memory", "postgres", "redis", "remote",
            "worker",
        ],
        theirs: &["getrandom", "serde", "tokio", "tracing"],
        // Sharing is proved to be even through a real server, too.
        tests: &["server", "sim"],
    },
    Row {
        name: "server",
        ours: &["core", "haulier", "wire"],
        theirs: &[
            "axum",
            "axum-server",
            "base64",
            "bytes",
            "foldhash",
            "futures-util",
            "http",
            // Its frames: an answer leaves in pieces that keep their place.
            "http-body",
            "jiff",
            "parking_lot",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tokio-stream",
            "tokio-util",
            "tonic",
            "tonic-health",
            "tonic-reflection",
            "toml",
            "tower",
            "tower-http",
            "tracing",
            "tracing-subscriber",
            "utoipa",
        ],
        tests: &["conformance", "embedded", "memory", "postgres", "redis", "remote", "sim"],
    },
    Row {
        name: "cli",
        // `haulier verify` reads a data directory that no server has open.
        ours: &["core", "embedded", "haulier", "server"],
        theirs: &[
            "anstream",
            // The quickstart's ledger is a queue over a queue.
            "async-trait",
            "clap",
            "clap_complete",
            "clap_mangen",
            "comfy-table",
            "indicatif",
            "jiff",
            "rustix",
            "serde",
            "serde_json",
            "sha2",
            "tempfile",
            "tokio",
            "tokio-util",
            "tracing",
        ],
        // Real processes are judged by the checker of the simulated world.
        tests: &["sim"],
    },
    Row {
        name: "conformance",
        ours: &["core", "memory"],
        theirs: &["async-trait", "bytes", "proptest", "rand", "rand_pcg", "tokio"],
        tests: &[],
    },
    Row {
        name: "sim",
        // It opens the stores themselves, to crash them.
        ours: &["core", "embedded", "haulier", "memory"],
        theirs: &["async-trait", "bytes", "serde", "serde_json", "tokio"],
        tests: &[],
    },
    Row {
        name: "xtask",
        // The documents list the invariants and the error codes; tidy compares them with the code.
        ours: &["core"],
        theirs: &["protox", "serde_json", "tonic-prost-build"],
        tests: &[],
    },
];

/// How many of other people's crates may stand behind one of ours, on Linux, tests apart.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Our crate.
    pub root: &'static str,
    /// How many.
    pub crates_max: usize,
}

/// Measured when they were set: 11, 88 and 174.
pub const BUDGETS: &[Budget] = &[
    Budget { root: "haulier-core", crates_max: 12 },
    Budget { root: "haulier", crates_max: 100 },
    // The driver of Redis brings some forty, half of them for names in URLs.
    Budget { root: "haulier-cli", crates_max: 250 },
];

/// Packages in the lock file at most, for all platforms and tests.
pub const LOCK_PACKAGES_MAX: usize = 530;

/// Licences that may be among what we ship.
pub const LICENSES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "BSL-1.0",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
];

/// Packages that may not stand in the lock file, and why.
pub const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "needs a C toolchain and minutes to build; rustls runs on ring"),
    ("aws-lc-sys", "needs a C toolchain and minutes to build; rustls runs on ring"),
    ("openssl", "TLS is rustls alone"),
    ("openssl-sys", "TLS is rustls alone"),
    ("native-tls", "TLS is rustls alone"),
    ("rustls-pemfile", "abandoned; rustls-pki-types reads PEM"),
    ("bincode", "abandoned; our formats are written by hand"),
];

/// Oldest versions that may stand in the lock file, and what was wrong before.
pub const FLOORS: &[(&str, &str, &str)] = &[
    ("h2", "0.4.16", "RUSTSEC-2026-0258"),
    ("rustls-webpki", "0.103.13", "RUSTSEC-2026-0104"),
    ("ring", "0.17.12", "RUSTSEC-2025-0009"),
    ("tonic", "0.12.3", "RUSTSEC-2024-0376"),
    ("tracing-subscriber", "0.3.20", "RUSTSEC-2025-0055"),
];
