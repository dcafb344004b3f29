//! The trait for looking, over calls.

use std::time::Duration;

use async_trait::async_trait;
use haulier_core::clock::millis;
use haulier_core::{
    Code, Filter, Include, Inspect, Page, PageRequest, QueueStats, Result, TaskId, TaskView,
    WorkerView, limits,
};
use haulier_wire::frames::check_items;
use haulier_wire::task::encode_id;
use haulier_wire::{every_answer, inspect, pb};

use crate::call::{Repeat, read};
use crate::store::{RemoteStore, inspect_client};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Inspect for RemoteStore {
    async fn get(
        &self,
        ids: Vec<TaskId>,
        include: Include,
        wait: Duration,
    ) -> Result<Vec<Option<TaskView>>> {
        check_items(ids.len(), "ids")?;
        let mut parts = vec![ids];
        let mut views = Vec::new();
        let mut wait = wait.min(limits::WAIT_MAX);
        while let Some(mut ids) = parts.pop() {
            match self.get_part(&ids, include, wait).await {
                Ok(some) => views.extend(some),
                // The answer does not fit a message: the first half is asked for, then the second.
                Err(error) if error.code() == Code::TooLarge && ids.len() > 1 => {
                    parts.push(ids.split_off(ids.len() / 2));
                    parts.push(ids);
                }
                Err(error) => return Err(error),
            }
            wait = Duration::ZERO;
        }
        Ok(views)
    }

    async fn list(&self, filter: Filter, page: PageRequest) -> Result<Page> {
        let response = self.net.call(Repeat::Harmless, |channel| {
            let request = self.net.request(inspect::encode_list(&filter, &page));
            async move { inspect_client(channel).list(request).await }
        });
        read(inspect::decode_page(response.await?))
    }

    async fn queues(&self) -> Result<Vec<QueueStats>> {
        let response = self.net.call(Repeat::Harmless, |channel| {
            let request = self.net.request(pb::QueuesRequest {});
            async move { inspect_client(channel).queues(request).await }
        });
        read(inspect::decode_queues(response.await?))
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        let response = self.net.call(Repeat::Harmless, |channel| {
            let request = self.net.request(pb::WorkersRequest {});
            async move { inspect_client(channel).workers(request).await }
        });
        read(inspect::decode_workers(response.await?))
    }
}

impl RemoteStore {
    async fn get_part(
        &self,
        ids: &[TaskId],
        include: Include,
        wait: Duration,
    ) -> Result<Vec<Option<TaskView>>> {
        let response = self.net.call(Repeat::Harmless, |channel| {
            let request = self.net.request(pb::GetRequest {
                ids: ids.iter().copied().map(encode_id).collect(),
                include: Some(inspect::encode_include(include)),
                wait_ms: millis(wait),
            });
            async move { inspect_client(channel).get(request).await }
        });
        every_answer(ids.len(), read(inspect::decode_found(response.await?))?)
    }
}
