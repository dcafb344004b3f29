//! The contract on a real directory, and faults on a simulated disk.

mod faults;
mod hints;
mod keep;
mod limits;
mod rig;
mod waiting;

mod plain {
    use crate::rig::PlainRig;

    haulier_conformance::suite!(PlainRig);
    haulier_conformance::histories!(PlainRig);
    haulier_conformance::histories!(PlainRig, reopening);
}
