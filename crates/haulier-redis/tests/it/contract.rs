//! The whole contract, and random histories compared with the specification, answer by answer.
//!
//! A step takes some ten calls, and a restart makes every connection anew: so there are fewer
//! histories here than of stores in memory, unless the environment asks for more.

use haulier_conformance::model::{self, Plan};

use crate::rig::RedisRig;

haulier_conformance::suite!(RedisRig);

fn plan(histories: u64) -> Plan {
    let asked = std::env::var_os("HAULIER_HISTORIES").is_some();
    let plan = Plan::from_env();
    if asked { plan } else { Plan { histories, ..plan } }
}

#[test]
fn random_histories_agree_with_the_specification() {
    model::check::<RedisRig>(plan(24));
}

#[test]
fn random_histories_agree_although_the_store_is_reopened_after_every_step() {
    model::check::<RedisRig>(plan(4).reopening());
}
