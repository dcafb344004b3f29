//! Protocol of the Haulier task queue: protobuf definitions, generated code and conversions.
