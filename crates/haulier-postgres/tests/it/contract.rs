//! The whole contract, and random histories compared with the specification, answer by answer.
//!
//! A step takes some ten calls, each a few trips to a database, and a restart makes every
//! connection anew: so there are fewer histories here than of stores in memory, unless the
//! environment asks for more.

use haulier_conformance::model::{self, Plan};

use crate::rig::PgRig;

haulier_conformance::suite!(PgRig);

fn plan(histories: u64) -> Plan {
    let asked = std::env::var_os("HAULIER_HISTORIES").is_some();
    let plan = Plan::from_env();
    if asked { plan } else { Plan { histories, ..plan } }
}

#[test]
fn random_histories_agree_with_the_specification() {
    model::check::<PgRig>(plan(12));
}

#[test]
fn random_histories_agree_although_the_store_is_reopened_after_every_step() {
    model::check::<PgRig>(plan(2).reopening());
}
