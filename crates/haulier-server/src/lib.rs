//! Server of the Haulier task queue: gRPC and HTTP/JSON on one port.
