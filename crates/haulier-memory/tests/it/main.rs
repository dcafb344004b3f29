//! The contract, run for the store in memory. That random histories agree with the specification
//! says only that the specification decides everything: nothing in it depends on chance.

mod limits;
mod waiting;

use haulier_conformance::MemoryRig;

haulier_conformance::suite!(MemoryRig);
haulier_conformance::histories!(MemoryRig);
haulier_conformance::histories!(MemoryRig, reopening);
