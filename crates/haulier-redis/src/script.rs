//! The scripts: one a verb, behind a common prelude. They are sent once a server and named by their
//! hash from then on.

use std::sync::LazyLock;

/// A script with what is to be known of it.
pub(crate) struct Script {
    /// Its verb, for messages.
    pub name: &'static str,
    /// Whether it may have changed something when its answer is lost.
    pub writes: bool,
    pub code: LazyLock<redis::Script>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal, $writes:literal;)*) => {
        $(
            $(#[$doc])*
            pub(crate) static $name: Script = Script {
                name: $file,
                writes: $writes,
                code: LazyLock::new(|| {
                    whole($writes, include_str!(concat!("lua/", $file, ".lua")))
                }),
            };
        )*
    };
}

/// A verb's script behind what each begins with.
fn whole(writes: bool, verb: &str) -> redis::Script {
    let meet = if writes { include_str!("lua/meet.lua") } else { "" };
    // Lua has room for 200 names in one function.
    let parts = [include_str!("lua/prelude.lua"), meet, "return (function()", verb, "end)()"];
    redis::Script::new(&parts.join("\n"))
}

/// Those that need no prelude.
macro_rules! bare {
    ($($name:ident = $file:literal, $writes:literal;)*) => {
        $(
            pub(crate) static $name: Script = Script {
                name: $file,
                writes: $writes,
                code: LazyLock::new(|| {
                    redis::Script::new(include_str!(concat!("lua/", $file, ".lua")))
                }),
            };
        )*
    };
}

scripts! {
    ARRIVE = "arrive", true;
    ENQUEUE = "enqueue", true;
    LEASE = "lease", true;
    BEAT = "beat", true;
    SETTLE = "settle", true;
    WATCH = "watch", true;
    NEWS = "news", false;
    GET = "get", false;
    STATES = "states", false;
    LIST = "list", false;
    OLDEST = "oldest", false;
    WORKERS = "workers", false;
    CANCEL = "cancel", true;
    RERUN = "rerun", true;
    DELETE = "delete", true;
    CONFIGURE = "configure", true;
    DIRECT = "direct", true;
    SWEEP = "sweep", true;
    PULSE = "pulse", true;
    CLOCK = "clock", false;
    KEEP = "keep", true;
    HEAL = "heal", true;
    LOOK = "look", false;
}

bare! {
    RIGHTS = "rights", false;
    INIT = "init", true;
    LEAVE = "leave", true;
}
