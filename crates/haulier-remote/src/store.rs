//! [`RemoteStore`]: what its traits share.

use std::sync::Arc;

use haulier_core::limits::MESSAGE_BYTES_MAX;
use haulier_core::{Capabilities, Code, Error, Result};
use haulier_wire::pb::control_client::ControlClient;
use haulier_wire::pb::inspect_client::InspectClient;
use haulier_wire::pb::queue_client::QueueClient;
use haulier_wire::{capabilities, pb};
use tonic::transport::Channel;

use crate::call::read;
use crate::net::Net;
use crate::options::RemoteOptions;
use crate::stream::Streams;

/// A store behind one or several servers. Cloning shares its connections.
#[derive(Debug, Clone)]
pub struct RemoteStore {
    pub(crate) net: Arc<Net>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) capabilities: Capabilities,
}

impl RemoteStore {
    /// Connects, and asks what the store behind can keep.
    ///
    /// # Errors
    /// [`Code::Invalid`] for a URL, token or certificate that cannot be used; [`Code::Unavailable`]
    /// if no server answers.
    pub async fn connect(options: RemoteOptions) -> Result<Self> {
        let net = Arc::new(Net::new(options)?);
        let told = net.call_once(|channel| {
            let request = net.request(pb::CapabilitiesRequest {});
            async move { queue_client(channel).capabilities(request).await }
        });
        let told = told.await.map_err(|error| explain(&net, error))?;
        let capabilities = read(capabilities::decode(told))?;
        let streams = Arc::new(Streams::new(Arc::clone(&net)));
        Ok(Self { net, streams, capabilities })
    }

    /// Ends the streams of all workers: what they hold is shortened to the grace of a lost stream.
    pub fn close(&self) {
        self.streams.close();
    }
}

fn explain(net: &Net, error: Error) -> Error {
    match error.code() {
        Code::Unavailable if error.retry_delay().is_none() => Error::new(
            Code::Unavailable,
            format!("nothing listens on {}; start one with `haulier dev`", net.names()),
        )
        .caused_by(error),
        Code::NotSupported | Code::UnknownOutcome => Error::new(
            Code::Unavailable,
            format!("what listens on {} is no Haulier server", net.names()),
        )
        .caused_by(error),
        _ => error,
    }
}

pub(crate) fn queue_client(channel: Channel) -> QueueClient<Channel> {
    QueueClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// A listing of everything has no limit but what there is.
pub(crate) fn inspect_client(channel: Channel) -> InspectClient<Channel> {
    InspectClient::new(channel).max_decoding_message_size(usize::MAX)
}

pub(crate) fn control_client(channel: Channel) -> ControlClient<Channel> {
    ControlClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}
