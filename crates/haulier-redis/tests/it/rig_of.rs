//! Rigs over stores that are somewhere else than on the shared server.

/// A rig like it with options of its own.
macro_rules! rig_of {
    ($name:ident, $options:block) => {
        struct $name(crate::rig::RedisRig);

        impl haulier_conformance::Rig for $name {
            async fn fresh() -> Self {
                Self(crate::rig::RedisRig::on($options).await)
            }

            fn queue(&self) -> std::sync::Arc<dyn haulier_core::Queue> {
                self.0.queue()
            }

            fn inspect(&self) -> std::sync::Arc<dyn haulier_core::Inspect> {
                self.0.inspect()
            }

            fn control(&self) -> std::sync::Arc<dyn haulier_core::Control> {
                self.0.control()
            }

            fn clock(&self) -> haulier_core::ManualClock {
                self.0.clock()
            }

            async fn elapse(&mut self, by: std::time::Duration) {
                self.0.elapse(by).await;
            }

            async fn reopen(&mut self) {
                self.0.reopen().await;
            }
        }
    };
}

pub(crate) use rig_of;
