//! The service for looking. Answers are bounded: a page by the store, a `get` of several tasks
//! here, where one that is too large is refused.

use std::time::Duration;

use haulier_core::limits::PAGE_BYTES_MAX;
use haulier_core::{Code, Error, Include, Result, TaskId, TaskView};
use haulier_wire::frames::check_items;
use haulier_wire::pb::inspect_server::Inspect;
use haulier_wire::status::to_status;
use haulier_wire::{inspect, pb, task};
use tonic::{Request, Response, Status};

use super::{answer, keeping};
use crate::leave::Held;
use crate::shared::Shared;

pub(super) struct Service {
    shared: Shared,
}

impl Service {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared }
    }

    async fn get(&self, request: pb::GetRequest) -> Result<Answer<pb::GetResponse>> {
        check_items(request.ids.len(), "ids")?;
        let ids = task::decode_ids(request.ids)?;
        let include = inspect::decode_include(request.include);
        let wait = Duration::from_millis(request.wait_ms);
        if !wait.is_zero() {
            // Whoever waits takes no room yet. A server that ends answers with what there is.
            let waited = self.shared.store.get(ids.clone(), Include::default(), wait);
            self.shared.unless_draining(waited).await.transpose()?;
        }
        let held = self.shared.room_for_tasks(include).await?;
        let views = self.read(&ids, include).await?;
        Ok((inspect::encode_found(&views), held))
    }

    /// Reads tasks, a few at a time: what is too large is not read as a whole.
    async fn read(&self, ids: &[TaskId], include: Include) -> Result<Vec<Option<TaskView>>> {
        let (mut views, mut bytes) = (Vec::with_capacity(ids.len()), 0);
        for ids in ids.chunks(self.shared.tasks_at_once(include)) {
            let some = self.shared.store.get(ids.to_vec(), include, Duration::ZERO).await?;
            bytes += some.iter().flatten().map(TaskView::bytes).sum::<usize>();
            views.extend(some);
            if bytes > PAGE_BYTES_MAX && views.len() > 1 {
                return Err(Error::new(
                    Code::TooLarge,
                    "these tasks do not fit one answer; ask for fewer, or without payloads and \
                     results",
                ));
            }
        }
        Ok(views)
    }

    async fn list(&self, request: pb::ListRequest) -> Result<Answer<pb::ListResponse>> {
        let (filter, page) = inspect::decode_list(request)?;
        let held = self.shared.room_for_tasks(page.include).await?;
        let page = self.shared.store.list(filter, page).await?;
        Ok((inspect::encode_page(page), held))
    }
}

/// An answer that has its room.
type Answer<T> = (T, Held);

fn held<T>(answered: Result<Answer<T>>) -> Result<Response<T>, Status> {
    let (message, held) = answered.map_err(|error| to_status(&error))?;
    Ok(keeping(held, message))
}

#[tonic::async_trait]
impl Inspect for Service {
    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        held(self.get(request.into_inner()).await)
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        held(self.list(request.into_inner()).await)
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
