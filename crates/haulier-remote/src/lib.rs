//! Client of the Haulier task queue over gRPC: the storage traits, served from afar.
