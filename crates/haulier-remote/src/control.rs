//! The trait for operators, over calls. A rerun or a deletion whose answer was lost is not
//! repeated: the second answer would be about another state than the first.

use async_trait::async_trait;
use bytes::Bytes;
use haulier_core::{
    Changed, Control, Directive, QueueName, QueueSettings, Result, SettingsPatch, TaskId, WorkerId,
};
use haulier_wire::frames::check_items;
use haulier_wire::task::encode_id;
use haulier_wire::{beat, control, every_answer, pb};

use crate::call::{Repeat, read};
use crate::store::{RemoteStore, control_client};

fn encode(ids: &[TaskId]) -> Vec<Bytes> {
    ids.iter().copied().map(encode_id).collect()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Control for RemoteStore {
    async fn cancel(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_items(ids.len(), "ids")?;
        let response = self.net.call(Repeat::Harmless, |channel| {
            let request = self.net.request(pb::CancelRequest { ids: encode(&ids) });
            async move { control_client(channel).cancel(request).await }
        });
        every_answer(ids.len(), read(control::decode_changed(response.await?))?)
    }

    async fn rerun(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_items(ids.len(), "ids")?;
        let response = self.net.call(Repeat::OnlyIfUnsent, |channel| {
            let request = self.net.request(pb::RerunRequest { ids: encode(&ids) });
            async move { control_client(channel).rerun(request).await }
        });
        every_answer(ids.len(), read(control::decode_changed(response.await?))?)
    }

    async fn delete(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_items(ids.len(), "ids")?;
        let response = self.net.call(Repeat::OnlyIfUnsent, |channel| {
            let request = self.net.request(pb::DeleteRequest { ids: encode(&ids) });
            async move { control_client(channel).delete(request).await }
        });
        every_answer(ids.len(), read(control::decode_changed(response.await?))?)
    }

    async fn configure(&self, queue: QueueName, patch: SettingsPatch) -> Result<QueueSettings> {
        let response = self.net.call(Repeat::Harmless, |channel| {
            let request = self.net.request(control::encode_configure(&queue, &patch));
            async move { control_client(channel).configure(request).await }
        });
        read(control::decode_configured(response.await?))
    }

    async fn direct(&self, workers: Vec<WorkerId>, directive: Directive) -> Result<Vec<bool>> {
        check_items(workers.len(), "workers")?;
        let response = self.net.call(Repeat::Harmless, |channel| {
            let request = self.net.request(pb::DirectRequest {
                workers: workers.iter().map(|worker| worker.as_str().to_owned()).collect(),
                directive: beat::encode_directive(directive),
            });
            async move { control_client(channel).direct(request).await }
        });
        every_answer(workers.len(), response.await?.known)
    }
}
