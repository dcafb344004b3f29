//! The service for looking. Answers fit one message: a page that is too large is asked for again,
//! smaller; a `get` of several tasks that is too large is refused.

use std::time::Duration;

use haulier_core::limits::MESSAGE_BYTES_MAX;
use haulier_core::{Code, Error, PageRequest, Result};
use haulier_wire::frames::{check_items, length};
use haulier_wire::pb::inspect_server::Inspect;
use haulier_wire::{inspect, pb, task};
use tonic::{Request, Response, Status};

use super::answer;
use crate::shared::Shared;

pub(super) struct Service {
    shared: Shared,
}

impl Service {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared }
    }

    async fn get(&self, request: pb::GetRequest) -> Result<pb::GetResponse> {
        check_items(request.ids.len(), "ids")?;
        let ids = task::decode_ids(request.ids)?;
        let include = inspect::decode_include(request.include);
        let wait = Duration::from_millis(request.wait_ms);
        let store = &self.shared.store;
        let views = tokio::select! {
            views = store.get(ids.clone(), include, wait) => views?,
            // A server that ends answers with what there is.
            () = self.shared.draining.cancelled() => {
                store.get(ids, include, Duration::ZERO).await?
            }
        };
        let found = inspect::encode_found(&views);
        if length(&found) <= MESSAGE_BYTES_MAX || views.len() <= 1 {
            return Ok(found);
        }
        Err(Error::new(
            Code::TooLarge,
            "these tasks do not fit one message; ask for fewer, or without payloads and results",
        ))
    }

    async fn list(&self, request: pb::ListRequest) -> Result<pb::ListResponse> {
        let (filter, mut page) = inspect::decode_list(request)?;
        loop {
            let got = self.shared.store.list(filter.clone(), page.clone()).await?;
            let count = got.tasks.len();
            let response = inspect::encode_page(got);
            if length(&response) <= MESSAGE_BYTES_MAX || count <= 1 {
                return Ok(response);
            }
            page = PageRequest { size: count.div_ceil(2), ..page };
        }
    }
}

#[tonic::async_trait]
impl Inspect for Service {
    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        answer(self.get(request.into_inner()).await)
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        answer(self.list(request.into_inner()).await)
    }

    async fn queues(
        &self,
        _: Request<pb::QueuesRequest>,
    ) -> Result<Response<pb::QueuesResponse>, Status> {
        let queues = self.shared.store.queues().await;
        answer(queues.map(|queues| pb::QueuesResponse {
            queues: queues.iter().map(inspect::encode_queue).collect(),
        }))
    }

    async fn workers(
        &self,
        _: Request<pb::WorkersRequest>,
    ) -> Result<Response<pb::WorkersResponse>, Status> {
        let workers = self.shared.store.workers().await;
        answer(workers.map(|workers| pb::WorkersResponse {
            workers: workers.iter().map(inspect::encode_worker).collect(),
        }))
    }
}
