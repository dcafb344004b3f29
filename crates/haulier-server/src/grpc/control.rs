//! The service for operators.

use bytes::Bytes;
use haulier_core::{Result, TaskId};
use haulier_wire::frames::check_items;
use haulier_wire::pb::control_server::Control;
use haulier_wire::{beat, control, lease, pb, task};
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

    async fn cancel(&self, ids: Vec<Bytes>) -> Result<pb::ChangedResponse> {
        Ok(control::encode_changed(self.shared.store.cancel(read(ids)?).await?))
    }

    async fn rerun(&self, ids: Vec<Bytes>) -> Result<pb::ChangedResponse> {
        Ok(control::encode_changed(self.shared.store.rerun(read(ids)?).await?))
    }

    async fn delete(&self, ids: Vec<Bytes>) -> Result<pb::ChangedResponse> {
        Ok(control::encode_changed(self.shared.store.delete(read(ids)?).await?))
    }

    async fn configure(&self, request: pb::ConfigureRequest) -> Result<pb::ConfigureResponse> {
        let (queue, patch) = control::decode_configure(request)?;
        let settings = self.shared.store.configure(queue, patch).await?;
        Ok(pb::ConfigureResponse { settings: Some(control::encode_settings(&settings)) })
    }

    async fn direct(&self, request: pb::DirectRequest) -> Result<pb::DirectResponse> {
        check_items(request.workers.len(), "workers")?;
        let workers = request.workers.iter().map(|name| lease::decode_worker(name));
        let directive = beat::decode_directive(request.directive)?;
        let known = self.shared.store.direct(workers.collect::<Result<_>>()?, directive).await?;
        Ok(pb::DirectResponse { known })
    }
}

fn read(ids: Vec<Bytes>) -> Result<Vec<TaskId>> {
    check_items(ids.len(), "ids")?;
    task::decode_ids(ids)
}

#[tonic::async_trait]
impl Control for Service {
    async fn cancel(
        &self,
        request: Request<pb::CancelRequest>,
    ) -> Result<Response<pb::ChangedResponse>, Status> {
        answer(self.cancel(request.into_inner().ids).await)
    }

    async fn rerun(
        &self,
        request: Request<pb::RerunRequest>,
    ) -> Result<Response<pb::ChangedResponse>, Status> {
        answer(self.rerun(request.into_inner().ids).await)
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::ChangedResponse>, Status> {
        answer(self.delete(request.into_inner().ids).await)
    }

    async fn configure(
        &self,
        request: Request<pb::ConfigureRequest>,
    ) -> Result<Response<pb::ConfigureResponse>, Status> {
        answer(self.configure(request.into_inner()).await)
    }

    async fn direct(
        &self,
        request: Request<pb::DirectRequest>,
    ) -> Result<Response<pb::DirectResponse>, Status> {
        answer(self.direct(request.into_inner()).await)
    }
}
