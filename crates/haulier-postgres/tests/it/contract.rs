//! The whole contract, and random histories compared with the specification, answer by answer.

use crate::rig::PgRig;

haulier_conformance::suite!(PgRig);
haulier_conformance::histories!(PgRig);
haulier_conformance::histories!(PgRig, reopening);
