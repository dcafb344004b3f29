//! The contract on a real directory, crashes and faults on a simulated disk.

mod crash;
mod faults;
mod keep;
mod rig;

mod plain {
    use crate::rig::PlainRig;

    haulier_conformance::suite!(PlainRig);
    haulier_conformance::histories!(PlainRig);
    haulier_conformance::histories!(PlainRig, reopening);
}
