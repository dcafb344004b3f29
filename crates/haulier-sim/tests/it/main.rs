//! Seeds: each is a world with its own load and faults, and the checker judges what happened in it.
//!
//! | variable | what it does |
//! |---|---|
//! | `HAULIER_SEEDS=A..B` | runs those instead of the bounded slice |
//! | `HAULIER_RARE=file` | appends how often each rare state was reached |

mod mutations;
mod planted;
mod seeds;
